-- Removes a blob, unless a job has come to refer to it.
--
-- ARGV: blob
-- Returns 1, or 0 if it stays
if redis.call('ZREM', P .. 'blobs', ARGV[1]) == 1 then
  redis.call('UNLINK', P .. 'blob:' .. ARGV[1])
  return 1
end
return 0
