-- Rates, as GCRA keeps them: the virtual scheduling of ITU-T I.371. What scripts with limits share.
--
-- `P .. 'pace'` and `P .. 'pace:' .. credential` have 'next interval': the microsecond at which the next attempt may begin, and the
-- microseconds between two, so that another rate is noticed. A pace is 'interval tolerance caught_up' in microseconds, or '' for none:
-- what was not used within the tolerance may still be, and an attempt that is later than its time by no more than `caught_up` makes no
-- later one late.
local micros_now = now * 1000

local function pace_of(text)
  local interval, tolerance, caught_up = string.match(text, '^(%S+) (%S+) (%S+)$')
  return interval
    and { interval = tonumber(interval), tolerance = tonumber(tolerance), caught_up = tonumber(caught_up), text = interval }
end

local KEPT_LONGER = 60000 -- in ms; how long more than needed a pace is kept, so that no step of Redis's clock loses it

-- Keeps when the next attempt may begin, until that says nothing any more.
local function keep_start(key, pace, next)
  local lasts = math.max(math.ceil((next - micros_now + pace.caught_up) / 1000), 0) + KEPT_LONGER
  redis.call('SET', key, string.format('%.3f %s', next, pace.text), 'PX', lasts)
end

-- When the next attempt may begin. What a lower rate would have held back for long is not held back by a higher one.
local function next_start(key, pace)
  local kept, interval = string.match(redis.call('GET', key) or '', '^(%S+) (%S+)$')
  local next = tonumber(kept or 0)
  if kept and interval ~= pace.text then
    next = math.min(next, micros_now + pace.interval)
    keep_start(key, pace, next)
  end
  return next >= micros_now - pace.caught_up and next or micros_now - pace.tolerance
end

-- How many attempts may begin now.
local function room_after(next, pace)
  return next > micros_now and 0 or math.floor((micros_now - next) / pace.interval) + 1
end

-- How many places attempts outside of the queue hold. Those of instances that ended without giving them back run out.
local PLACES = P .. 'places'
local function places_held()
  return redis.call('ZCOUNT', PLACES, '(' .. whole(now), '+inf')
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
    for _, place in ipairs(redis.call('ZRANGEBYSCORE', PLACES, '(' .. whole(now), '+inf')) do
      local credential = string.match(place, '^%S+ (%S+)$') or '-'
      running[credential] = (running[credential] or 0) + 1
    end
  end
  return running
end
