-- Writes one chunk of a blob. Until a job refers to it, the blob expires, and is swept if it does not.
--
-- ARGV: blob · number of the chunk · its bytes · for how long it is kept, in ms
-- Returns 1
local blob, number, bytes, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
redis.call('ZADD', P .. 'blobs', whole(now + keep), blob)
redis.call('HSET', P .. 'blob:' .. blob, number, bytes)
redis.call('PEXPIRE', P .. 'blob:' .. blob, 2 * keep) -- where no sweep comes
return 1
