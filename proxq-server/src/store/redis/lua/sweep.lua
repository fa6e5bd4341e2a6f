-- Removes a batch of blobs that no job refers to and nobody holds any more.
--
-- ARGV: the most blobs that are removed · for how long those are kept that the caller holds, in ms · these blobs…
-- Returns how many were removed
local batch, keep = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 3, #ARGV do
  redis.call('ZADD', P .. 'blobs', 'XX', whole(now + keep), ARGV[i])
  if redis.call('ZSCORE', P .. 'blobs', ARGV[i]) then
    redis.call('PEXPIRE', P .. 'blob:' .. ARGV[i], 2 * keep)
  end
end
local due = redis.call('ZRANGEBYSCORE', P .. 'blobs', '-inf', whole(now), 'LIMIT', 0, batch)
for _, blob in ipairs(due) do
  redis.call('ZREM', P .. 'blobs', blob)
  redis.call('UNLINK', P .. 'blob:' .. blob)
end
return #due
