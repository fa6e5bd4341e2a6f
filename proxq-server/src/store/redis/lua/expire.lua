-- Drops a batch of ended jobs that are past their retention: completed, archived → (none). What a later version wrote is
-- left alone, and looked at again an hour later. Drops a batch of hashes with nothing but a result, too: workers of Go's left
-- them, whose jobs were removed while they ran.
--
-- ARGV: highest version of a record · the most that are dropped of each
-- Returns how many
local version, batch, expired = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
local HOUR_MS = 3600000
for _, place in ipairs({
  { key = A .. 'completed', state = 'completed', until_now = seconds, later = math.ceil((now + HOUR_MS) / 1000) },
  { key = P .. 'failed', state = 'archived', until_now = now, later = now + HOUR_MS },
}) do
  local due = redis.call('ZRANGEBYSCORE', place.key, '-inf', whole(place.until_now), 'LIMIT', 0, batch - expired)
  for _, id in ipairs(due) do
    local job = read(id, 'state', 'x_facts', 'x_blob', 'x_result', 'x_watch')
    if version_of(job.x_facts) > version then
      redis.call('ZADD', place.key, whole(place.later), id)
    else
      redis.call('ZREM', place.key, id)
      if job.state == place.state then
        redis.call('ZREM', A .. 'archived', id)
        changed(job, id)
        remove(job, id)
        expired = expired + 1
      end
    end
  end
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'remnants', '-inf', whole(now), 'LIMIT', 0, batch)) do
  redis.call('ZREM', P .. 'remnants', id)
  local left = read(id, 'msg')
  if not left.msg and not left.foreign then
    redis.call('DEL', task(id))
  end
end
return expired
