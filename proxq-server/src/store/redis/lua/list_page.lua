-- Names jobs of one state whose ids lie in a list: pending ones of normal priority, active. Changes nothing.
--
-- The order is that of the list. The anchor of a job is the number in the field by which the list is sorted; a job without
-- one has the anchor of the job that is listed before it. A page begins behind all jobs with an anchor that comes before the one
-- given. Of those with this anchor it begins behind the one whose id begins so; if there is none, it has left, and the page begins
-- with the first of them: jobs leave from the oldest on, so oldest first, those before it had left by then.
--
-- ARGV: name of the list · name of the field · how many of its last digits do not count · anchor (-1 for none) · beginning of
-- an id ('' for the first page) · the most jobs · 1 for newest first · names of the fields to give…
-- Returns {1 if there are more, anchor of the last job or -1, {{id, {fields}}…}}
local list, field, digits = A .. ARGV[1], ARGV[2], tonumber(ARGV[3])
local after, beginning, max, newest = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1'
local WITHOUT = 100 -- jobs in a row that have no anchor: behind more of them, the search for one ends
local SAME = 10000 -- jobs with one anchor: behind more of them, the search for an id ends
local length = redis.call('LLEN', list)

-- The anchor of the job in this place, from 0 for the oldest.
local function anchor(place)
  local towards, last = -1, math.max(place - WITHOUT, 0)
  if newest then
    towards, last = 1, math.min(place + WITHOUT, length - 1)
  end
  for at = place, last, towards do
    local value = read(redis.call('LINDEX', list, -1 - at), field)[field]
    local found = value and tonumber(string.sub(value, 1, #value - digits))
    if found then
      return found
    end
  end
  return newest and math.huge or -1
end

-- The place of the first job with this anchor or a later one.
local function first_from(wanted)
  local first, beyond = 0, length
  while first < beyond do
    local middle = math.floor((first + beyond) / 2)
    if anchor(middle) < wanted then
      first = middle + 1
    else
      beyond = middle
    end
  end
  return first
end

-- The ids in so many places, oldest first.
local function ids(first, count)
  if count <= 0 then
    return {}
  end
  local found = redis.call('LRANGE', list, -first - count, -first - 1)
  local oldest_first = {}
  for i = #found, 1, -1 do
    oldest_first[#oldest_first + 1] = found[i]
  end
  return oldest_first
end

-- How many jobs lie on the older side of where the page begins.
local function older()
  if beginning == '' then
    return newest and length or 0
  end
  if newest and after == -1 then
    after = math.huge
  end
  local first, beyond = first_from(after), after == math.huge and length or first_from(after + 1)
  local same = math.min(beyond - first, SAME)
  local searched = newest and beyond - same or first
  for i, id in ipairs(ids(searched, same)) do
    if string.sub(id, 1, #beginning) == beginning then
      return newest and searched + i - 1 or searched + i
    end
  end
  return newest and beyond or first
end

local place = older()
local count = newest and math.min(max, place) or max
local found = ids(newest and place - count or place, count)
local jobs = {}
for i = 1, #found do
  local id = found[newest and #found + 1 - i or i]
  jobs[i] = { id, fields_of(id, unpack(ARGV, 8)) }
end
local last = newest and place - #jobs or place + #jobs - 1
local more = newest and last > 0 or not newest and last + 1 < length
local last_anchor = #jobs > 0 and anchor(last) or -1
return { more and 1 or 0, last_anchor == math.huge and -1 or last_anchor, jobs }
