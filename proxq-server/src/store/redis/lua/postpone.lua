-- Takes back a lease under which nothing was sent, and has its job wait: active → scheduled.
--
-- ARGV: id · token · pause in ms
-- Returns {1, when due, now}, or {0, -1, now} if the lease is gone
local id, token, pause = ARGV[1], ARGV[2], tonumber(ARGV[3])
local job = read(id, 'state', 'x_token', 'x_attempts', 'x_watch', 'x_bounds')
if not held(job, token) then
  return { 0, -1, now }
end
local attempts = math.max(number(job.x_attempts) - 1, 0)
local due = postpone(job, id, pause)
redis.call('HSET', task(id), 'x_attempts', attempts)
redis.call('HDEL', task(id), 'x_token', 'x_attempt', 'x_since')
if attempts == 0 then
  redis.call('HDEL', task(id), 'x_started')
end
leave_active(id)
waits_on(job, id, attempts)
return { 1, due, now }
