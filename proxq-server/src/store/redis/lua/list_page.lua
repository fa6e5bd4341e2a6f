-- Names jobs of one state whose ids lie in a list, oldest first: pending ones of normal priority, active. Changes nothing.
--
-- The order is that of the list. The anchor of a job is the number in the field by which the list is sorted; a job without
-- one has the anchor of the job before it. A page begins after all jobs with an earlier anchor than the one given. Of those with
-- this anchor it begins after the one whose id begins so; if there is none, it has left, and those before it had left by then.
--
-- ARGV: name of the list · name of the field · how many of its last digits do not count · anchor (-1 for none) · beginning of
-- an id ('' for the first page) · the most jobs · names of the fields to give…
-- Returns {1 if there are more, anchor of the last job or -1, {{id, {fields}}…}}
local list, field, digits = A .. ARGV[1], ARGV[2], tonumber(ARGV[3])
local after, beginning, max = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6])
local WITHOUT = 100 -- jobs in a row that have no anchor: behind more of them, the search for one ends
local SAME = 10000 -- jobs with one anchor: behind more of them, the search for an id ends
local length = redis.call('LLEN', list)

-- The anchor of the job in this place, from 0 for the oldest.
local function anchor(place)
  for at = place, math.max(place - WITHOUT, 0), -1 do
    local value = read(redis.call('LINDEX', list, -1 - at), field)[field]
    local found = value and tonumber(string.sub(value, 1, #value - digits))
    if found then
      return found
    end
  end
  return -1
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
  local found = redis.call('LRANGE', list, -first - count, -first - 1)
  local oldest_first = {}
  for i = #found, 1, -1 do
    oldest_first[#oldest_first + 1] = found[i]
  end
  return oldest_first
end

local first = 0
if beginning ~= '' then
  first = first_from(after)
  local same = math.min(first_from(after + 1) - first, SAME)
  for i, id in ipairs(same > 0 and ids(first, same) or {}) do
    if string.sub(id, 1, #beginning) == beginning then
      first = first + i
      break
    end
  end
end
local jobs = {}
for i, id in ipairs(ids(first, max)) do
  jobs[i] = { id, fields_of(id, unpack(ARGV, 7)) }
end
local last = first + #jobs
return { last < length and 1 or 0, #jobs > 0 and anchor(last - 1) or -1, jobs }
