-- Names jobs of one state whose ids lie in a sorted set: scheduled, retry, completed, archived, and the pending ones of high or
-- low priority, and those that are filed. Changes nothing.
--
-- The order is that of the set, oldest first: by score, and by id within one score. A page begins behind all jobs with an earlier
-- score than the one given, and behind those with this score whose ids do not come after this beginning of an id. Newest first,
-- it begins behind all jobs with a later score, and behind those with this score whose ids do not come before this beginning.
--
-- ARGV: name of the set, a priority, or `filed` · score · beginning of an id (both '' for the first page) · the most jobs · 1 for
-- newest first · names of the fields to give…
-- Returns {1 if there are more, {{id, score as a whole number, {fields}}…}}
local set = SETS[ARGV[1]] or ARGV[1] == 'filed' and P .. 'filed' or A .. ARGV[1]
local score, beginning, max, newest = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local LATEST = 2 ^ 53 -- what is later than this number is not exact in Lua
local size = redis.call('ZCARD', set)

-- Whether one text comes after another by its bytes, as Redis sorts them. Lua's own comparison depends on the locale.
local function is_after(one, other)
  for i = 1, math.min(#one, #other) do
    local difference = string.byte(one, i) - string.byte(other, i)
    if difference ~= 0 then
      return difference > 0
    end
  end
  return #one > #other
end

-- How many jobs lie on the older side of where the page begins.
local function older()
  if score == '' then
    return newest and size or 0
  end
  local first = redis.call('ZCOUNT', set, '-inf', '(' .. score)
  local beyond = redis.call('ZCOUNT', set, '-inf', score)
  while first < beyond do
    local middle = math.floor((first + beyond) / 2)
    local id = string.sub(redis.call('ZRANGE', set, middle, middle)[1], 1, #beginning)
    if is_after(id, beginning) or newest and id == beginning then
      beyond = middle
    else
      first = middle + 1
    end
  end
  return first
end

local place = older()
local found, more = {}, false
if newest then
  if place > 0 then
    found = redis.call('ZREVRANGE', set, size - place, size - place + max - 1, 'WITHSCORES')
  end
  more = place - #found / 2 > 0
else
  found = redis.call('ZRANGE', set, place, place + max - 1, 'WITHSCORES')
  more = place + #found / 2 < size
end
-- A score that is no whole number is told as the next one behind it.
local round = newest and math.floor or math.ceil
local jobs = {}
for i = 1, #found, 2 do
  local whole_score = round(math.max(math.min(tonumber(found[i + 1]), LATEST), -LATEST))
  jobs[#jobs + 1] = { found[i], whole_score, fields_of(found[i], unpack(ARGV, 6)) }
end
return { more and 1 or 0, jobs }
