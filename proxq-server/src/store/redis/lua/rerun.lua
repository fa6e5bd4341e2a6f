-- Makes a failed job pending again, with its budgets restored: archived → pending.
--
-- ARGV: id
-- Returns 1, 0 if it is in another state, -1 if there is no such job
local id = ARGV[1]
local job = read(id, 'msg', 'state', 'x_watch')
if not job.msg then
  return -1
end
if job.state ~= 'archived' then
  return 0
end
redis.call('HSET', task(id), 'msg', job.msg .. number_field(6, 0), 'state', 'pending', 'pending_since', stamp,
  'x_retried', 0, 'x_losses', 0)
redis.call('HDEL', task(id), 'x_outcome', 'x_ended')
redis.call('LPUSH', A .. 'pending', id)
redis.call('ZREM', A .. 'archived', id)
redis.call('ZREM', P .. 'failed', id)
changed(job, id)
return 1
