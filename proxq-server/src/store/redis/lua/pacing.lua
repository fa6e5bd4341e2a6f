-- Rates, as GCRA keeps them: the virtual scheduling of ITU-T I.371. What scripts with limits share.
--
-- `P .. 'pace'` and `P .. 'pace:' .. credential` have 'next interval': the microsecond at which the next attempt may begin, and the
-- microseconds between two, so that another rate is noticed. A pace is 'interval tolerance' in microseconds, or '' for none.
local micros_now = now * 1000

local function pace_of(text)
  local interval, tolerance = string.match(text, '^(%S+) (%S+)$')
  return interval and { interval = tonumber(interval), tolerance = tonumber(tolerance), text = interval }
end

-- When the next attempt may begin.
local function next_start(key, pace)
  local kept, interval = string.match(redis.call('GET', key) or '', '^(%S+) (%S+)$')
  local next = tonumber(kept or 0)
  if interval ~= pace.text then
    next = math.min(next, micros_now)
  end
  return math.max(next, micros_now - pace.tolerance)
end

-- How many attempts may begin now.
local function room_after(next, pace)
  return next > micros_now and 0 or math.floor((micros_now - next) / pace.interval) + 1
end

local KEPT_LONGER = 60000 -- in ms; how long more than needed a pace is kept, so that no step of Redis's clock loses it

-- Keeps when the next attempt may begin, until that says nothing any more.
local function keep_start(key, pace, next)
  local lasts = math.max(math.ceil((next - micros_now + pace.tolerance) / 1000), 0) + KEPT_LONGER
  redis.call('SET', key, string.format('%.3f %s', next, pace.text), 'PX', lasts)
end

-- How many places attempts outside of the queue hold. Those of instances that ended without giving them back run out.
local PLACES = P .. 'places'
local function places_held()
  redis.call('ZREMRANGEBYSCORE', PLACES, '-inf', whole(now))
  return redis.call('ZCARD', PLACES)
end

-- How many attempts run of each credential: 'credential count credential count …', or counted over all instances.
local function running_of(text, over_all)
  local running = {}
  for credential, count in string.gmatch(text, '(%S+) (%d+)') do
    running[credential] = tonumber(count)
  end
  if over_all then
    running = {}
    for _, id in ipairs(redis.call('ZRANGE', A .. 'lease', 0, -1)) do
      local credential = credential_name(read(id, 'x_cred'))
      running[credential] = (running[credential] or 0) + 1
    end
    for _, place in ipairs(redis.call('ZRANGE', PLACES, 0, -1)) do
      local credential = string.match(place, '^%S+ (%S+)$') or '-'
      running[credential] = (running[credential] or 0) + 1
    end
  end
  return running
end
