-- Names jobs of one state whose ids lie in a sorted set, oldest first: scheduled, retry, completed, archived, and the pending
-- ones of high or low priority, and those that are filed. Changes nothing.
--
-- The order is that of the set: by score, and by id within one score. A page begins after all jobs with an earlier score than
-- the one given, and after those with this score whose ids do not come after this beginning of an id.
--
-- ARGV: name of the set, a priority, or `filed` · score (-1 for the beginning) · beginning of an id · the most jobs ·
-- names of the fields to give…
-- Returns {1 if there are more, {{id, score as a whole number, {fields}}…}}
local set = SETS[ARGV[1]] or ARGV[1] == 'filed' and P .. 'filed' or A .. ARGV[1]
local score, beginning, max = ARGV[2], ARGV[3], tonumber(ARGV[4])
local LATEST = 2 ^ 53 -- what is later than this number is not exact in Lua

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

local first = redis.call('ZCOUNT', set, '-inf', '(' .. score)
local beyond = redis.call('ZCOUNT', set, '-inf', score)
while first < beyond do
  local middle = math.floor((first + beyond) / 2)
  local id = redis.call('ZRANGE', set, middle, middle)[1]
  if is_after(string.sub(id, 1, #beginning), beginning) then
    beyond = middle
  else
    first = middle + 1
  end
end
local found = redis.call('ZRANGE', set, first, first + max - 1, 'WITHSCORES')
local jobs = {}
for i = 1, #found, 2 do
  jobs[#jobs + 1] = { found[i], math.ceil(math.min(tonumber(found[i + 1]), LATEST)), fields_of(found[i], unpack(ARGV, 5)) }
end
return { first + #jobs < redis.call('ZCARD', set) and 1 or 0, jobs }
