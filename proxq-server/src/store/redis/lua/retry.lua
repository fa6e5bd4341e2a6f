-- Ends an attempt, and lets its job rest: active → retry. Due in a whole second, never early; a pause of 0 is due at once.
--
-- ARGV: id · token · asynq's message · pause in ms · error · reach · 1 if a retry is charged · how many are ·
-- how many attempts its log keeps
-- Returns {1, when due, now}, or {0, -1, now} if the lease is gone
local id, token, message, pause, error, reach_now, charged, retried, history =
  ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7] == '1', ARGV[8], tonumber(ARGV[9])
local job =
  read(id, 'state', 'x_token', 'x_attempts', 'x_attempt', 'x_by', 'x_reach', 'x_log', 'x_watch', 'x_bounds')
if not held(job, token) then
  return { 0, -1, now }
end
local second = pause == 0 and seconds or math.ceil((now + pause) / 1000)
local log, reach = attempt_ended(job, reach_now, 0, history)
redis.call('ZADD', A .. 'retry', second, id)
redis.call('HSET', task(id), 'msg', message .. failure_fields(error), 'state', 'retry', 'x_error', error,
  'x_due', whole(second * 1000), 'x_retried', retried, 'x_log', log, 'x_reach', reach)
redis.call('HDEL', task(id), 'x_token', 'x_attempt', 'x_since')
leave_active(id)
waits_on(job, id, 1)
if charged then
  count('processed')
  count('failed')
end
changed(job, id)
return { 1, second * 1000, now }
