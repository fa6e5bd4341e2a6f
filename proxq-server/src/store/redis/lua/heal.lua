-- Puts right what a crash between two commands of somebody else left: of a batch of the oldest active jobs, those without a lease
-- get an expired one, to be found lost; ids without a job are dropped. Jobs that were put aside for a later version come
-- back if that is the caller's.
--
-- ARGV: highest version of a record · the most ids that are looked at in each list
-- Returns how many ids were put right
local version, batch, healed = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for _, id in ipairs(redis.call('LRANGE', A .. 'active', -batch, -1)) do
  if not read(id, 'msg').msg then
    leave_active(id)
    healed = healed + 1
  elseif redis.call('ZADD', A .. 'lease', 'NX', 0, id) == 1 then
    healed = healed + 1
  end
end
for _, id in ipairs(redis.call('LRANGE', P .. 'newer', -batch, -1)) do
  local job = read(id, 'x_facts', 'x_priority', 'pending_since')
  local facts = job.x_facts
  if not facts then
    redis.call('LREM', P .. 'newer', 1, id)
  elseif version_of(facts) <= version then
    if not wait_since(id, job.x_priority, job.pending_since or stamp) then
      redis.call('RPUSH', A .. 'pending', id)
    end
    redis.call('LREM', P .. 'newer', 1, id)
    healed = healed + 1
  end
end
return healed
