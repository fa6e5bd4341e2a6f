-- Gives a job up: active → archived. By its owner, or because its lease was lost.
--
-- ARGV: id · token · grace in ms of a lost lease ('' where its owner ends it) · error · reach · outcome · retention in ms ·
-- 1 if its claim is free again · how often it may be retried ('' where its message says so) · how many attempts its log keeps ·
-- 1 if its call ends with it
-- Returns 1, or 0 if the lease is gone, or was not lost after all
local id, token, grace, error, reach_now, outcome = unpack(ARGV, 1, 6)
local retention, frees_claim, max_retries, history = tonumber(ARGV[7]), ARGV[8] == '1', ARGV[9], tonumber(ARGV[10])
local if_lost = grace ~= ''
local job =
  read(id, 'msg', 'state', 'x_token', 'x_attempts', 'x_attempt', 'x_by', 'x_reach', 'x_log', 'x_watch', 'x_losses',
  'x_claim', 'x_turn', 'x_call')
if not held(job, token) or (if_lost and not lost(job, id, tonumber(grace))) then
  return 0
end
local log, reach = attempt_ended(job, reach_now, 0, history)
redis.call('ZADD', A .. 'archived', seconds, id)
redis.call('HSET', task(id), 'msg', job.msg .. retry_field(max_retries) .. failure_fields(error), 'state', 'archived', 'x_error', error,
  'x_outcome', outcome, 'x_ended', whole(now), 'x_log', log, 'x_reach', reach,
  'x_losses', if_lost and one_more(job.x_losses) or job.x_losses or 0)
redis.call('HDEL', task(id), 'x_token', 'x_attempt', 'x_since', 'x_bounds', 'x_expired')
redis.call('ZADD', P .. 'failed', whole(now + retention), id)
leave_active(id)
if frees_claim then
  free_claim(job, id)
end
if ARGV[11] == '1' then
  end_call(job, id)
end
count('processed')
count('failed')
changed(job, id)
return 1
