-- Takes back a lease under which nothing was sent: active → pending, in the job's old place.
--
-- ARGV: id · token · how many older jobs are passed at most; beyond them the order is no matter any more
-- Returns 1, or 0 if the lease is gone
local id, token, passed_max = ARGV[1], ARGV[2], tonumber(ARGV[3])
local job = read(id, 'state', 'x_token', 'x_attempts', 'x_since', 'x_watch', 'x_priority', 'x_bounds')
if not held(job, token) then
  return 0
end
redis.call('LLEN', A .. 'pending') -- fails where that is no list, before anything is changed
local since = job.x_since or ''
local in_set = wait_since(id, job.x_priority, since == '' and stamp or since)
local attempts = math.max(number(job.x_attempts) - 1, 0)
redis.call('HSET', task(id), 'state', 'pending', 'pending_since', since == '' and stamp or since, 'x_attempts', attempts)
redis.call('HDEL', task(id), 'x_token', 'x_attempt', 'x_since')
if attempts == 0 then
  redis.call('HDEL', task(id), 'x_started')
end
if not in_set then
  local older = {}
  while #older < passed_max do
    local first = redis.call('LINDEX', A .. 'pending', -1)
    if not first or (read(first, 'pending_since').pending_since or '') >= since then
      break
    end
    older[#older + 1] = redis.call('RPOP', A .. 'pending')
  end
  redis.call('RPUSH', A .. 'pending', id)
  for i = #older, 1, -1 do
    redis.call('RPUSH', A .. 'pending', older[i])
  end
end
leave_active(id)
waits_on(job, id, attempts)
changed(job, id)
return 1
