-- Parks a credential: no job of it begins for a while, at any instance.
--
-- ARGV: credential · for how long, in ms
-- Returns 1
local credential, until_ms = ARGV[1], whole(now + tonumber(ARGV[2]))
redis.call('ZADD', PARKED, 'GT', until_ms, credential)
if redis.call('ZREM', READY, credential) == 1 then
  redis.call('ZADD', RESTING, 'GT', until_ms, credential)
else
  redis.call('ZADD', RESTING, 'XX', 'GT', until_ms, credential)
end
redis.call('ZREMRANGEBYSCORE', PARKED, '-inf', whole(now))
return 1
