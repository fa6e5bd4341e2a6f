-- Drops a batch of the failed jobs that asynq would not keep: those of more than 90 days ago, and all but the latest 9,999.
-- What a later version wrote is left to it.
--
-- ARGV: highest version of a record · the most jobs that are dropped
-- Returns how many
local version, batch, trimmed = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
local KEPT = 9999
local beyond = math.min(math.max(redis.call('ZCARD', A .. 'archived') - KEPT, 0), batch)
local ids = beyond > 0 and redis.call('ZRANGE', A .. 'archived', 0, beyond - 1) or {}
if #ids == 0 then
  ids = redis.call('ZRANGEBYSCORE', A .. 'archived', '-inf', seconds - NINETY_DAYS, 'LIMIT', 0, batch)
end
for _, id in ipairs(ids) do
  local job = read(id, 'state', 'x_facts', 'x_blob', 'x_result', 'x_watch')
  if version_of(job.x_facts) <= version then
    redis.call('ZREM', A .. 'archived', id)
    redis.call('ZREM', P .. 'failed', id)
    if job.state == 'archived' then
      changed(job, id)
      remove(job, id)
    end
    trimmed = trimmed + 1
  end
end
return trimmed
