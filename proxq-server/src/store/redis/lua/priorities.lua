-- Where pending jobs wait: those of normal priority in asynq's list `pending`, those of high and of low priority in two sets
-- of ours. Their score is the microsecond since which a job waits.
--
-- The field x_priority names a job's set; a job of normal priority does not have it. A job that has it may be in `pending` all
-- the same: age.lua put it there, or one of asynq's tools.
local SETS = { high = P .. 'high', low = P .. 'low' }
local TIES = 1000000 -- in microseconds; a later score than this is of a clock that was set back since
local told = false

-- How many jobs wait in the set of a priority.
local function waiting(priority)
  return redis.call('ZCARD', SETS[priority])
end

-- The workers of other instances wait for pushes to `pending`. Of what comes into a set they are told, once.
local function put(set, micros, id)
  redis.call('ZADD', set, micros, id)
  if not told then
    redis.call('PUBLISH', 'proxq:changed:' .. string.match(P, '{.*}'), 'ready')
    told = true
  end
end

-- Has a job wait behind all others of its priority. Gives since when it waits, in nanoseconds.
local function wait_behind(id, priority)
  local set = SETS[priority]
  if not set then
    redis.call('LPUSH', A .. 'pending', id)
    return stamp
  end
  local micros = tonumber(string.sub(stamp, 1, -4))
  local last = tonumber(redis.call('ZREVRANGE', set, 0, 0, 'WITHSCORES')[2] or 0)
  if last >= micros and last < micros + TIES then
    micros = last + 1
  end
  put(set, whole(micros), id)
  return whole(micros) .. '000'
end

-- Has a job of high or low priority wait in its old place, by since when it waited, in nanoseconds. Changes nothing for one of
-- normal priority; gives whether it has another one.
local function wait_since(id, priority, since)
  local set = SETS[priority]
  if set then
    put(set, string.sub(since, 1, -4), id)
  end
  return set ~= nil
end

-- Makes a job of this set, scheduled or retry, pending. `job` needs x_priority, x_watch.
local function wake(job, id, zset)
  local since = wait_behind(id, job.x_priority)
  redis.call('HSET', task(id), 'state', 'pending', 'pending_since', since)
  redis.call('HDEL', task(id), 'x_due')
  redis.call('ZREM', A .. zset, id)
  changed(job, id)
end
