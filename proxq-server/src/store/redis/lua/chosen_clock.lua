-- The clock of tests: the time that they chose, which stands still but for the stamps, no two of which are the same.
local now = tonumber(redis.call('GET', 'proxq:test:now'))
local time = redis.call('TIME')
local passed = tonumber(time[1]) * 1000000 + tonumber(time[2]) - tonumber(redis.call('GET', 'proxq:test:begun'))
local stamp = string.format('%.0f%06d', now + math.floor(passed / 1000000), passed % 1000000)
