-- Removes a job in any state, with its bodies, and tells the server that runs it: any → (none).
--
-- ARGV: id · highest version of a record · for how long a worker of Go's may go on with it, in ms · '', or the turn whose client
-- must have gone away for good while the job goes on
-- Returns 1, 0 if there is no such job, or minus its version if that is a later one
local id, version, go_on = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local job = read(id, 'msg', 'state', 'x_facts', 'x_blob', 'x_result', 'x_watch', 'x_token', 'unique_key', 'group',
  'x_claim', 'x_priority', 'x_bounds', 'x_turn', 'x_call', 'x_holder')
if not job.msg then
  return 0
end
if ARGV[4] ~= '' then
  local ended = job.state == 'completed' or job.state == 'archived'
  if job.x_turn ~= ARGV[4] or job.x_holder ~= '' or ended then
    return 0
  end
end
local written_by = version_of(job.x_facts)
if written_by > version then
  return -written_by
end
if job.state == 'pending' then
  leave_pending(job, id, 0)
elseif job.state == 'active' then
  leave_active(id)
  if not job.x_token then
    -- Its worker may write a result all the same, which would stay for ever. That is no reason to fail when Redis is full.
    redis.pcall('ZADD', P .. 'remnants', whole(now + go_on), id)
  end
elseif job.state == 'aggregating' then
  redis.call('ZREM', A .. 'g:' .. (job.group or ''), id)
elseif job.state == 'scheduled' or job.state == 'retry' or job.state == 'completed' or job.state == 'archived' then
  redis.call('ZREM', A .. job.state, id)
  redis.call('ZREM', P .. 'failed', id)
else
  -- Of a job whose state cannot be read nobody knows where it is.
  for _, zset in ipairs({ 'scheduled', 'retry', 'completed', 'archived' }) do
    redis.call('ZREM', A .. zset, id)
  end
  redis.call('ZREM', P .. 'failed', id)
  leave_pending(job, id, 0)
  leave_active(id)
end
if job.unique_key and redis.call('GET', job.unique_key) == id then
  redis.call('DEL', job.unique_key)
end
if has_claim(job, id) then
  redis.call('DEL', P .. 'claim:' .. job.x_claim)
end
waits_no_more(job, id)
changed(job, id)
end_call(job, id)
remove(job, id)
-- An instance of ours is told in its queue: a job of another queue may have the same id.
if job.state == 'active' and job.x_token then
  redis.call('PUBLISH', 'proxq:changed:' .. string.match(P, '{.*}'), id .. ' ' .. job.x_token)
elseif job.state == 'active' then
  redis.call('PUBLISH', 'asynq:cancel', id)
end
return 1
