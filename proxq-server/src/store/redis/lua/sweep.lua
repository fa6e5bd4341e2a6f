-- Removes up to 100 blobs that no job refers to and nobody holds any more.
--
-- ARGV: for how long those are kept that the caller holds, in ms · these blobs…
-- Returns how many were removed
local keep = tonumber(ARGV[1])
for i = 2, #ARGV do
  redis.call('ZADD', P .. 'blobs', 'XX', whole(now + keep), ARGV[i])
  if redis.call('ZSCORE', P .. 'blobs', ARGV[i]) then
    redis.call('PEXPIRE', P .. 'blob:' .. ARGV[i], 2 * keep)
  end
end
local due = redis.call('ZRANGEBYSCORE', P .. 'blobs', '-inf', whole(now), 'LIMIT', 0, 100)
for _, blob in ipairs(due) do
  redis.call('ZREM', P .. 'blobs', blob)
  redis.call('UNLINK', P .. 'blob:' .. blob)
end
return #due
