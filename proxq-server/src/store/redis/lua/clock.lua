-- The time that decides everything in the scripts: the store's own, never an instance's.
-- Gives `now` in milliseconds, and `stamp` in nanoseconds as text, for numbers of that size are not exact in Lua.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local stamp = time[1] .. string.format('%06d', tonumber(time[2])) .. '000'
