-- What the scripts that hand out jobs share, between the common parts and their own text.
--
-- ARGV: at most how many · instance · its name · order · highest version of a record · term of a lease in ms · how many ids
-- are looked at beyond what is asked for · the words of `end_overdue`, 4 · ids of the keys that the instance has, 8 bytes each ·
-- for how long a job waits whose key it does not have, in ms · …
local max, instance, name, order = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local version, term, beyond, words = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), { unpack(ARGV, 8, 11) }
local own_keys, look_again_after = ARGV[12], tonumber(ARGV[13])
local ORDER_SECONDS = 120 -- how long an order may be repeated: far longer than an instance goes on asking
local last_order = P .. 'order:' .. instance
local expiry = lease_expiry(term)
local jobs, overdue, locked, handed, token = {}, {}, {}, { order }, 0
local first_field -- from where on ARGV names the fields to give

local has_key, named = {}, {}
for key in string.gmatch(own_keys, KEY_ID) do
  has_key[key] = true
end

local BEGIN_FIELDS = { 'x_started', 'pending_since', 'x_token', unpack(OVERDUE_FIELDS) }

local function hand_out(id, token)
  jobs[#jobs + 1] = { id, token, redis.call('HMGET', task(id), unpack(ARGV, first_field)) }
end

-- What is wrong with the keys that this needs: one of them is of another kind than asynq's.
local function wrong_kind()
  for name, kind in pairs({ pending = 'list', active = 'list', lease = 'zset', scheduled = 'zset', retry = 'zset' }) do
    local found = redis.call('TYPE', A .. name).ok
    if found ~= kind and found ~= 'none' then
      return redis.error_reply('WRONGTYPE ' .. A .. name .. ' is of the type ' .. found .. ' instead of ' .. kind)
    end
  end
end

-- Hands out again what this order has been given already, if it has been carried out. Gives whether it has.
local function is_repeated()
  local last = redis.call('GET', last_order)
  if not last or string.sub(last, 1, #order + 1) ~= order .. '\n' then
    return false
  end
  for id, token in string.gmatch(string.sub(last, #order + 2), '([^\n]+)\n([^\n]+)\n') do
    if held(read(id, 'state', 'x_token'), token) then
      redis.call('ZADD', A .. 'lease', expiry, id)
      hand_out(id, token)
    end
  end
  return true
end

-- Begins to hand out. The first write, which Redis refuses when it is full.
local function open_order()
  redis.call('SET', last_order, '', 'EX', ORDER_SECONDS)
  token = math.max(number(redis.call('GET', P .. 'token')), now * 1000)
end

-- Remembers what was handed out.
local function close_order()
  redis.call('SET', P .. 'token', whole(token))
  redis.call('SET', last_order, table.concat(handed, '\n') .. '\n', 'EX', ORDER_SECONDS)
end

-- Begins an attempt at a job that was taken from where it waited `since`. Gives whether it begins: one whose key the instance does
-- not have waits on, and never has a lease that could be lost. `job` needs BEGIN_FIELDS.
local function begin(id, job, since)
  if job.foreign then
    return false -- what it is, nobody knows; it is left alone
  elseif not job.msg then
    redis.call('DEL', task(id))
    return false
  elseif version_of(job.x_facts) > version then
    redis.call('LPUSH', P .. 'newer', id)
    return false
  elseif job.x_token then
    redis.call('HSET', task(id), 'state', 'active')
    redis.call('HDEL', task(id), 'pending_since', 'x_due')
    redis.call('LPUSH', A .. 'active', id)
    redis.call('ZADD', A .. 'lease', 0, id)
    return false
  elseif (ends(job, number(job.x_attempts)) or math.huge) <= now then
    overdue[#overdue + 1] = end_overdue(job, id, words)
    return false
  end
  local key = key_of(job.x_facts)
  if key and not has_key[key] then
    postpone(job, id, look_again_after)
    if not named[key] then
      named[key] = true
      locked[#locked + 1] = { id, job.x_facts }
    end
    return false
  end
  token = token + 1
  redis.call('HSET', task(id), 'state', 'active', 'x_token', whole(token), 'x_attempts', one_more(job.x_attempts),
    'x_started', job.x_started or whole(now), 'x_attempt', whole(now), 'x_by', name, 'x_since', since)
  redis.call('HDEL', task(id), 'pending_since', 'x_due')
  redis.call('LPUSH', A .. 'active', id)
  redis.call('ZADD', A .. 'lease', expiry, id)
  waits_no_more(job, id)
  changed(job, id)
  hand_out(id, whole(token))
  handed[#handed + 1] = id .. '\n' .. whole(token)
  return true
end
