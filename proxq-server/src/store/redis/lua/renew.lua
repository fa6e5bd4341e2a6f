-- Prolongs leases to a full term from now, also expired ones that nobody took away.
--
-- ARGV: id · token · …, at most 100 of each
-- Returns the positions, from 0, of those that are gone
local expiry, gone = math.ceil((now + LEASE_MS) / 1000), {}
for i = 1, #ARGV, 2 do
  if held(read(ARGV[i], 'state', 'x_token'), ARGV[i + 1]) then
    redis.call('ZADD', A .. 'lease', expiry, ARGV[i])
  else
    gone[#gone + 1] = (i - 1) / 2
  end
end
return gone
