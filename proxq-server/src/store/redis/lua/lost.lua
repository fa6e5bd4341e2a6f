-- Names a batch of jobs whose leases were lost, for the caller to judge. What is in the set of leases and is no active
-- job is taken out of it.
--
-- ARGV: grace in ms · the most jobs that are looked at · names of the fields to give…
-- Returns {{id, token or '', {fields}, asynq's message where there are no facts}…}
local grace, batch = tonumber(ARGV[1]), tonumber(ARGV[2])
local jobs = {}
local expired = '(' .. whole(math.ceil((now - grace) / 1000))
local found = redis.call('ZRANGEBYSCORE', A .. 'lease', '-inf', expired, 'LIMIT', 0, batch)
for _, id in ipairs(found) do
  local job = read(id, 'state', 'x_token', 'x_facts')
  if job.state ~= 'active' then
    leave_active(id)
  elseif lost(job, id, grace) then
    local message = not job.x_facts and read(id, 'msg').msg
    jobs[#jobs + 1] = { id, job.x_token or '', redis.call('HMGET', task(id), unpack(ARGV, 3)), message or '' }
  end
end
return jobs
