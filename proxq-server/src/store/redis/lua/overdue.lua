-- Ends a batch of the waiting jobs whose time is over: pending, scheduled, retry → archived. What a later version wrote is left
-- alone, and looked at again an hour later; what a worker of asynq's has, a minute later, for it may come back.
--
-- ARGV: highest version of a record · the most jobs that are ended · the words of `end_overdue`, 4
-- Returns {{id, attempts, outcome, error}…}
local version, batch, words = tonumber(ARGV[1]), tonumber(ARGV[2]), { unpack(ARGV, 3, 6) }
local MINUTE_MS = 60000
local ended = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'bounded', '-inf', whole(now), 'LIMIT', 0, batch)) do
  local job = read(id, unpack(OVERDUE_FIELDS))
  local is_waiting = job.msg and (job.state == 'pending' or job.state == 'scheduled' or job.state == 'retry')
  if version_of(job.x_facts) > version then
    redis.call('ZADD', P .. 'bounded', whole(now + 60 * MINUTE_MS), id)
  elseif job.state == 'active' then
    redis.call('ZADD', P .. 'bounded', whole(now + MINUTE_MS), id)
  elseif is_waiting and ends(job, number(job.x_attempts)) then
    ended[#ended + 1] = end_overdue(job, id, words)
    if job.state == 'pending' then
      leave_pending(job, id, -1)
    else
      redis.call('ZREM', A .. job.state, id)
    end
  else
    redis.call('ZREM', P .. 'bounded', id) -- a tool of asynq's has removed, moved or changed it
  end
end
return ended
