-- Makes a batch of jobs that are due pending: scheduled, retry → pending.
--
-- ARGV: the most jobs that are woken
-- Returns {how many, when the next job is due or -1, now}
local batch, woken = tonumber(ARGV[1]), 0
for _, zset in ipairs({ 'scheduled', 'retry' }) do
  local due = redis.call('ZRANGEBYSCORE', A .. zset, '-inf', seconds, 'LIMIT', 0, batch - woken)
  for _, id in ipairs(due) do
    local job = read(id, 'msg', 'x_watch')
    if job.msg then
      redis.call('LPUSH', A .. 'pending', id)
      redis.call('HSET', task(id), 'state', 'pending', 'pending_since', stamp)
      redis.call('HDEL', task(id), 'x_due')
      changed(job, id)
      woken = woken + 1
    end
    redis.call('ZREM', A .. zset, id)
  end
end
return { woken, next_due(), now }
