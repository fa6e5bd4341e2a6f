-- Holds places of attempts outside of the queue for another term, or gives them back.
--
-- ARGV: for how long, in ms (0 to give them back) · names of places, each with its credential…
-- Returns 1
local term = tonumber(ARGV[1])
for i = 2, #ARGV do
  if term > 0 then
    redis.call('ZADD', P .. 'places', 'XX', whole(now + term), ARGV[i]) -- not one that was given back meanwhile
  else
    redis.call('ZREM', P .. 'places', ARGV[i])
  end
end
return 1
