-- Takes back a lease under which nothing was sent, and has its job wait: active → scheduled. Due in a whole second, never early.
--
-- ARGV: id · token · pause in ms
-- Returns {1, when due, now}, or {0, -1, now} if the lease is gone
local id, token, pause = ARGV[1], ARGV[2], tonumber(ARGV[3])
local job = read(id, 'state', 'x_token', 'x_attempts', 'x_watch', 'x_bounds')
if not held(job, token) then
  return { 0, -1, now }
end
local second = math.ceil((now + pause) / 1000)
local attempts = math.max(number(job.x_attempts) - 1, 0)
redis.call('ZADD', A .. 'scheduled', second, id)
redis.call('HSET', task(id), 'state', 'scheduled', 'x_due', whole(second * 1000), 'x_attempts', attempts)
redis.call('HDEL', task(id), 'x_token', 'x_attempt', 'x_since', 'pending_since')
if attempts == 0 then
  redis.call('HDEL', task(id), 'x_started')
end
leave_active(id)
waits_on(job, id, attempts)
changed(job, id)
return { 1, second * 1000, now }
