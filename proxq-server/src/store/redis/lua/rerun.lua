-- Makes a failed job pending again, with its budgets restored: archived → pending.
--
-- Repeated with the same order, it changes nothing more, whatever has become of the job meanwhile: an answer may get lost.
--
-- ARGV: id · 1 if it may be sent again though it may have reached its upstream · order · outcomes after which it may be sent
-- again in any case…
-- Returns 1, 0 if it is in another state, -1 if there is no such job, -2 if it may have reached its upstream
local id, confirmed, order = ARGV[1], ARGV[2] == '1', ARGV[3]
local job = read(id, 'msg', 'state', 'x_outcome', 'x_watch', 'x_claim', 'x_rerun', 'x_priority')
if not job.msg then
  return -1
end
if job.x_rerun == order then
  return 1
end
if job.state ~= 'archived' then
  return 0
end
local may_rerun = confirmed
for i = 4, #ARGV do
  may_rerun = may_rerun or job.x_outcome == ARGV[i] -- a job that asynq gave up has none
end
if not may_rerun then
  return -2
end
local since = wait_behind(id, job.x_priority)
redis.call('HSET', task(id), 'msg', job.msg .. number_field(6, 0), 'state', 'pending', 'pending_since', since,
  'x_retried', 0, 'x_losses', 0, 'x_rerun', order)
redis.call('HDEL', task(id), 'x_outcome', 'x_ended', 'x_token', 'x_attempt', 'x_since', 'x_bounds', 'x_expired')
redis.call('ZREM', A .. 'archived', id)
redis.call('ZREM', P .. 'failed', id)
take_back(job, id)
changed(job, id)
return 1
