-- Prolongs leases to a full term from now, also expired ones that nobody took away.
--
-- ARGV: term of a lease in ms · id · token · …, at most a batch of them
-- Returns the positions, from 0, of those that are gone
local expiry, gone = lease_expiry(tonumber(ARGV[1])), {}
for i = 2, #ARGV, 2 do
  if held(read(ARGV[i], 'state', 'x_token'), ARGV[i + 1]) then
    redis.call('ZADD', A .. 'lease', expiry, ARGV[i])
  else
    gone[#gone + 1] = i / 2 - 1
  end
end
return gone
