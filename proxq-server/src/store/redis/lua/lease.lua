-- Hands out jobs: pending → active, and of scheduled and retry what is due. Those of a higher priority go first, and of one
-- priority those that have been due longest. Of what is due, only so many are looked at as are asked for: wake.lua finds the
-- others.
--
-- Repeated with the same order, it hands out the same jobs again: an answer may get lost. An id without a job is dropped;
-- a job that a later version wrote is put aside, for that version to find. A job that still has a token lost its lease to
-- asynq, which knows nothing of delivery: it gets an expired lease, to be found lost. Fails, having changed nothing, where one of the
-- keys is of another kind than asynq's; also where nothing is asked for, which is how a probe learns of it.
--
-- ARGV: those of leasing.lua · names of the fields to give…
-- Returns {1 if the queue is paused, now, when the next job is due or -1, 1 if there is more, {{id, token, {fields}}…},
-- {jobs that ended instead, for their time was over…}, {of the jobs whose key is missing one for each key, {id, facts}…}}
first_field = 14
local high, low = waiting('high'), waiting('low') -- how many wait in the sets

local function answer(paused)
  local more = redis.call('LLEN', A .. 'pending') + high + low > 0
  return { paused and 1 or 0, now, next_due(), more and 1 or 0, jobs, overdue, locked }
end

local wrong = wrong_kind()
if wrong then
  return wrong
end
if is_repeated() then
  return answer(false)
end
if redis.call('EXISTS', A .. 'paused') == 1 then
  return answer(true)
end

local due = {}
for _, zset in ipairs({ 'scheduled', 'retry' }) do
  local found = redis.call('ZRANGEBYSCORE', A .. zset, '-inf', seconds, 'WITHSCORES', 'LIMIT', 0, max)
  for i = 1, #found, 2 do
    due[#due + 1] = { id = found[i], stamp = found[i + 1] .. '000000000', zset = zset }
  end
end
table.sort(due, function(a, b) return a.stamp < b.stamp end)
if max == 0 or (#due + high + low == 0 and redis.call('LLEN', A .. 'pending') == 0) then
  return answer(false)
end

open_order()
local normal = {}
for _, from in ipairs(due) do
  local job = read(from.id, 'x_priority', 'x_watch')
  if SETS[job.x_priority] then
    wake(job, from.id, from.zset)
  else
    normal[#normal + 1] = from
  end
end
if #normal < #due then
  due, high, low = normal, waiting('high'), waiting('low')
end
local next, looked = 1, 0
while #jobs < max and looked < max + beyond do
  looked = looked + 1
  local id, from, set
  if high > 0 then
    set, high = SETS.high, high - 1
  else
    id, from = redis.call('LINDEX', A .. 'pending', -1), due[next]
    if from and (not id or (read(id, 'pending_since').pending_since or '') >= from.stamp) then
      id, next = from.id, next + 1
    else
      from = nil
    end
    if not id and low > 0 then
      set, low = SETS.low, low - 1
    end
  end
  id = set and redis.call('ZRANGE', set, 0, 0)[1] or id
  if not id then
    break
  end
  local job = read(id, unpack(BEGIN_FIELDS))
  if set then
    redis.call('ZREM', set, id)
  elseif from then
    redis.call('ZREM', A .. from.zset, id)
  else
    redis.call('RPOP', A .. 'pending')
  end
  begin(id, job, from and from.stamp or job.pending_since or '')
end
close_order()
return answer(false)
