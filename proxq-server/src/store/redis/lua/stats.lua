-- Counts the jobs of a queue. Changes nothing.
--
-- Of filed jobs, the first of high priority and the first of all others are looked at: their order tells these apart.
--
-- Returns {how many are pending, scheduled, active, retry, completed, archived, for how long the first of the pending ones waits in
-- ms or -1, 1 if the queue is paused}
local FILED = P .. 'filed'
local HIGH_BELOW = now * 1000 - 2 ^ 49 -- in microseconds; those of high priority are in front by more

local oldest = -1

-- A job waits since this microsecond.
local function waits_since(micros)
  if micros then
    oldest = math.max(oldest, now - math.floor(micros / 1000), 0)
  end
end

local function pending_since(id)
  local since = id and read(id, 'pending_since').pending_since
  return since and tonumber(string.sub(since, 1, -4))
end

waits_since(pending_since(redis.call('LINDEX', A .. 'pending', -1)))
for _, set in pairs(SETS) do
  waits_since(tonumber(redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]))
end
waits_since(pending_since(redis.call('ZRANGE', FILED, 0, 0)[1]))
waits_since(pending_since(redis.call('ZRANGEBYSCORE', FILED, whole(HIGH_BELOW), '+inf', 'LIMIT', 0, 1)[1]))
local pending = redis.call('LLEN', A .. 'pending') + waiting('high') + waiting('low') + redis.call('ZCARD', FILED)
return {
  pending, redis.call('ZCARD', A .. 'scheduled'), redis.call('LLEN', A .. 'active'), redis.call('ZCARD', A .. 'retry'),
  redis.call('ZCARD', A .. 'completed'), redis.call('ZCARD', A .. 'archived'), oldest, redis.call('EXISTS', A .. 'paused'),
}
