-- Hands out jobs: pending → active, and of scheduled and retry what is due. Those of a higher priority go first, and of one
-- priority those that have been due longest. Of what is due, only so many are looked at as are asked for: wake.lua finds the
-- others.
--
-- Repeated with the same order, it hands out the same jobs again: an answer may get lost. An id without a job is dropped;
-- a job that a later version wrote is put aside, for that version to find. A job that still has a token lost its lease to
-- asynq, which knows nothing of delivery: it gets an expired lease, to be found lost. Fails, having changed nothing, where one of the
-- keys is of another kind than asynq's; also where nothing is asked for, which is how a probe learns of it.
--
-- ARGV: at most how many · instance · its name · order · highest version of a record · term of a lease in ms · how many ids
-- are looked at beyond what is asked for · the words of `end_overdue`, 4 · names of the fields to give…
-- Returns {1 if the queue is paused, now, when the next job is due or -1, 1 if there is more, {{id, token, {fields}}…},
-- {jobs that ended instead, for their time was over…}}
local max, instance, name, order = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local version, term, beyond, words = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), { unpack(ARGV, 8, 11) }
local ORDER_SECONDS = 120 -- how long an order may be repeated: far longer than an instance goes on asking
local last_order = P .. 'order:' .. instance
local expiry = lease_expiry(term)
local jobs, overdue = {}, {}
local high, low = waiting('high'), waiting('low') -- how many wait in the sets

local function hand_out(id, token)
  jobs[#jobs + 1] = { id, token, redis.call('HMGET', task(id), unpack(ARGV, 12)) }
end

local function answer(paused)
  local more = redis.call('LLEN', A .. 'pending') + high + low > 0
  return { paused and 1 or 0, now, next_due(), more and 1 or 0, jobs, overdue }
end

for name, kind in pairs({ pending = 'list', active = 'list', lease = 'zset', scheduled = 'zset', retry = 'zset' }) do
  local found = redis.call('TYPE', A .. name).ok
  if found ~= kind and found ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. A .. name .. ' is of the type ' .. found .. ' instead of ' .. kind)
  end
end
local last = redis.call('GET', last_order)
if last and string.sub(last, 1, #order + 1) == order .. '\n' then
  for id, token in string.gmatch(string.sub(last, #order + 2), '([^\n]+)\n([^\n]+)\n') do
    if held(read(id, 'state', 'x_token'), token) then
      redis.call('ZADD', A .. 'lease', expiry, id)
      hand_out(id, token)
    end
  end
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

redis.call('SET', last_order, '', 'EX', ORDER_SECONDS)
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
local token = math.max(number(redis.call('GET', P .. 'token')), now * 1000)
local handed, next, looked = { order }, 1, 0
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
  local job = read(id, 'x_started', 'pending_since', 'x_token', unpack(OVERDUE_FIELDS))
  if set then
    redis.call('ZREM', set, id)
  elseif from then
    redis.call('ZREM', A .. from.zset, id)
  else
    redis.call('RPOP', A .. 'pending')
  end
  if job.foreign then
    -- What it is, nobody knows; it is left alone.
  elseif not job.msg then
    redis.call('DEL', task(id))
  elseif version_of(job.x_facts) > version then
    redis.call('LPUSH', P .. 'newer', id)
  elseif job.x_token then
    redis.call('HSET', task(id), 'state', 'active')
    redis.call('HDEL', task(id), 'pending_since', 'x_due')
    redis.call('LPUSH', A .. 'active', id)
    redis.call('ZADD', A .. 'lease', 0, id)
  elseif (ends(job, number(job.x_attempts)) or math.huge) <= now then
    overdue[#overdue + 1] = end_overdue(job, id, words)
  else
    token = token + 1
    redis.call('HSET', task(id), 'state', 'active', 'x_token', whole(token), 'x_attempts', one_more(job.x_attempts),
      'x_started', job.x_started or whole(now), 'x_attempt', whole(now), 'x_by', name,
      'x_since', from and from.stamp or job.pending_since or '')
    redis.call('HDEL', task(id), 'pending_since', 'x_due')
    redis.call('LPUSH', A .. 'active', id)
    redis.call('ZADD', A .. 'lease', expiry, id)
    waits_no_more(job, id)
    changed(job, id)
    hand_out(id, whole(token))
    handed[#handed + 1] = id .. '\n' .. whole(token)
  end
end
redis.call('SET', P .. 'token', whole(token))
redis.call('SET', last_order, table.concat(handed, '\n') .. '\n', 'EX', ORDER_SECONDS)
return answer(false)
