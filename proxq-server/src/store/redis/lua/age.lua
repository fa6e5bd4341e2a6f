-- Moves jobs into `pending`: those of low priority that have waited for long, which are of normal priority from then on; and
-- where servers of asynq work on the queue, who know no other place, all jobs of high and low priority. Filed jobs, too, where
-- the queue has no limits any more.
--
-- ARGV: the most jobs of each priority that are moved · for how long one of low priority waits at most, in ms · 1 if all are
-- moved · 1 if the queue has no limits
-- Returns how many were moved
local batch, longest_wait, all = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3] == '1'
local waits_since = (now - longest_wait) * 1000
local moved = 0

-- Moves a job to an end of `pending`, which is sorted by pending_since. Gives whether there is such a job.
local function move(id, set, push, since)
  local is_there = read(id, 'state').state == 'pending'
  if is_there then
    redis.call(push, A .. 'pending', id)
    redis.call('HSET', task(id), 'pending_since', since)
    moved = moved + 1
  end
  redis.call('ZREM', set, id)
  return is_there
end

local latest = all and '+inf' or whole(waits_since)
local low = redis.call('ZRANGEBYSCORE', SETS.low, '-inf', latest, 'WITHSCORES', 'LIMIT', 0, batch)
for i = 1, #low, 2 do
  if move(low[i], SETS.low, 'LPUSH', stamp) and tonumber(low[i + 1]) <= waits_since then
    redis.call('HDEL', task(low[i]), 'x_priority')
  end
end
if all then
  -- They become the next ones, and count as if they had waited as long as the oldest one.
  local oldest = redis.call('LINDEX', A .. 'pending', -1)
  local since = oldest and read(oldest, 'pending_since').pending_since
  for _, id in ipairs(redis.call('ZREVRANGE', SETS.high, 0, batch - 1)) do
    local own = read(id, 'pending_since').pending_since or stamp
    since = (since and since < own) and since or own
    move(id, SETS.high, 'RPUSH', since)
  end
end
if ARGV[4] == '1' then
  -- They have waited longer than those in the list.
  local files = redis.call('ZRANGE', FILED, 0, batch - 1)
  for i = #files, 1, -1 do
    if read(files[i], 'state').state == 'pending' then
      redis.call('RPUSH', A .. 'pending', files[i])
      moved = moved + 1
    end
    leave_file(files[i])
  end
end
return moved
