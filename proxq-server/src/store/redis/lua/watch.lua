-- Notes that an instance wants to hear of a job's next change.
--
-- ARGV: id · instance
-- Returns 1, or 0 if there is no such job here
local id, instance = ARGV[1], ARGV[2]
local job = read(id, 'msg', 'x_watch')
if not job.msg then
  return 0
end
local watchers = job.x_watch or ''
if not string.find(watchers, instance, 1, true) then
  redis.call('HSET', task(id), 'x_watch', watchers .. ' ' .. instance)
end
return 1
