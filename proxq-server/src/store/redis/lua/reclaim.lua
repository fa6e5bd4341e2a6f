-- Takes away a lost lease from a job that may be sent again: active → pending, to be the next.
--
-- ARGV: id · token · grace in ms · error · reach · how often it may be retried ('' where its message says so) ·
-- how many attempts its log keeps
-- Returns 1, or 0 if the lease is gone, or was not lost after all
local id, token, grace, error, reach_now, max_retries, history =
  ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local job = read(id, 'msg', 'state', 'x_token', 'x_attempts', 'x_attempt', 'x_by', 'x_reach', 'x_log', 'x_watch',
  'x_losses', 'x_since', 'x_priority', 'x_bounds')
if not held(job, token) or not lost(job, id, grace) then
  return 0
end
local log, reach = attempt_ended(job, reach_now, 0, history)
local since = (job.x_since or '') == '' and stamp or job.x_since
if not wait_since(id, job.x_priority, since) then
  redis.call('RPUSH', A .. 'pending', id)
end
redis.call('HSET', task(id), 'msg', job.msg .. retry_field(max_retries) .. failure_fields(error), 'state', 'pending',
  'pending_since', since, 'x_error', error,
  'x_losses', one_more(job.x_losses), 'x_log', log, 'x_reach', reach)
redis.call('HDEL', task(id), 'x_token', 'x_attempt', 'x_since')
leave_active(id)
waits_on(job, id, 1)
changed(job, id)
return 1
