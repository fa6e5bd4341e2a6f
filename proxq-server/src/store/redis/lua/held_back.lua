-- Names credentials that are held back, those first that are so for the shortest time. Changes nothing.
--
-- ARGV: the most that are named of each kind
-- Returns {now, {credential, until when…} by a rate or a park, {credential, until when…} by a park}
local found = { now }
for _, set in ipairs({ P .. 'resting', P .. 'parked' }) do
  found[#found + 1] = redis.call('ZRANGEBYSCORE', set, '(' .. whole(now), '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[1])
end
return found
