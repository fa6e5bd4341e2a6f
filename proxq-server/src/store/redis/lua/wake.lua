-- Makes a batch of jobs that are due pending: scheduled, retry → pending.
--
-- ARGV: the most jobs that are woken
-- Returns {how many, when the next job is due or -1, now}
local batch, woken = tonumber(ARGV[1]), 0
for _, zset in ipairs({ 'scheduled', 'retry' }) do
  local due = redis.call('ZRANGEBYSCORE', A .. zset, '-inf', seconds, 'LIMIT', 0, batch - woken)
  for _, id in ipairs(due) do
    local job = read(id, 'msg', 'x_watch', 'x_priority')
    if job.msg then
      wake(job, id, zset)
      woken = woken + 1
    else
      redis.call('ZREM', A .. zset, id)
    end
  end
end
return { woken, next_due(P .. 'resting'), now }
