-- Ends a job with its response: active → completed. Its secret headers are forgotten.
--
-- ARGV: id · token · asynq's message without the secrets ('' if there are none to forget) · head of the response ·
-- status · result as JSON ('' where it is a blob) · the response's blob ('' for none) · reach · outcome · retention in ms ·
-- 1 if its claim is free again · how often it may be retried ('' where its message says so) · how many attempts its log keeps ·
-- 1 if its call ends with it
-- Returns 1, or 0 if the lease is gone
local id, token, message, head, status, result, blob, reach_now, outcome = unpack(ARGV, 1, 9)
local retention, frees_claim, max_retries, history = tonumber(ARGV[10]), ARGV[11] == '1', ARGV[12], tonumber(ARGV[13])
local job = read(id, 'state', 'x_token', 'x_attempts', 'x_attempt', 'x_by', 'x_reach', 'x_log', 'x_watch', 'unique_key',
  'x_claim', 'x_turn', 'x_call')
if not held(job, token) then
  return 0
end
if message == '' then
  message = redis.call('HGET', task(id), 'msg')
end
local log, reach = attempt_ended(job, reach_now, status, history)
redis.call('ZADD', A .. 'completed', math.ceil((now + retention) / 1000), id)
redis.call('HSET', task(id), 'msg', message .. retry_field(max_retries) .. number_field(13, seconds), 'state', 'completed', 'x_head', head,
  'x_outcome', outcome, 'x_ended', whole(now), 'x_log', log, 'x_reach', reach)
if result == '' then
  redis.call('HDEL', task(id), 'result')
  redis.call('HSET', task(id), 'x_result', blob)
else
  redis.call('HSET', task(id), 'result', result)
end
redis.call('HDEL', task(id), 'x_token', 'x_attempt', 'x_since', 'x_error', 'x_secrets')
leave_active(id)
adopt(blob)
if job.unique_key and redis.call('GET', job.unique_key) == id then
  redis.call('DEL', job.unique_key)
end
if frees_claim then
  free_claim(job, id)
end
if ARGV[14] == '1' then
  end_call(job, id)
end
count('processed')
changed(job, id)
return 1
