-- Counts an attempt outside of the queue, if the limits leave room for it now. A park is not in its way: its client wants the
-- upstream's own word.
--
-- ARGV: credential · name of its place · for how long it holds that, in ms · pace of the queue ('' for none) · how many attempts
-- run at once over all instances ('' for any number) · how many of a credential ('' for any number) · pace of each credential
-- ('' for none) · how many run here, 'credential count …'
-- Returns {0 it may begin | 1 a rate is in its way | 2 the number at once, until when or -1, now}
local credential, place, term = ARGV[1], ARGV[2], tonumber(ARGV[3])
local pace, shared, at_once, credential_pace = pace_of(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), pace_of(ARGV[7])
local YES, RATE, LIMIT = 0, 1, 2
if shared and redis.call('ZCARD', A .. 'lease') + places_held() >= shared then
  return { LIMIT, -1, now }
end
if at_once and (running_of(ARGV[8], shared)[credential] or 0) >= at_once then
  return { LIMIT, -1, now }
end
local own = P .. 'pace:' .. credential
local next = pace and next_start(P .. 'pace', pace)
local own_next = credential_pace and next_start(own, credential_pace)
local first = math.max(next or 0, own_next or 0)
if first > micros_now then
  return { RATE, math.ceil(first / 1000), now }
end
if pace then
  keep_start(P .. 'pace', pace, next + pace.interval)
end
if credential_pace then
  own_next = own_next + credential_pace.interval
  keep_start(own, credential_pace, own_next)
  if own_next > micros_now and redis.call('ZREM', READY, credential) == 1 then
    redis.call('ZADD', RESTING, math.ceil(own_next / 1000), credential)
  end
end
if shared then
  redis.call('ZADD', PLACES, whole(now + term), place .. ' ' .. credential)
  redis.call('ZREMRANGEBYSCORE', PLACES, '-inf', whole(now))
end
return { YES, -1, now }
