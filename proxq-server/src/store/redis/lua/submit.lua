-- Takes a job in: (none) → pending, or scheduled if it has a delay.
--
-- ARGV: id · asynq's message · facts · credential · delay in ms (0 for none) · secret headers ('' for none) · body's blob
-- ('' for none)
-- Returns {0 taken in | 1 there already, of this credential | 2 of another one | 3 its blob is gone, when due or -1, now}
local id, message, facts, credential, delay, secrets, blob =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local there = read(id, 'msg', 'x_cred')
if there.msg then
  return { there.x_cred == credential and 1 or 2, -1, now }
end
if blob ~= '' and redis.call('EXISTS', P .. 'blob:' .. blob) == 0 then
  return { 3, -1, now }
end
local fields = { 'msg', message, 'x_facts', facts, 'x_cred', credential }
if secrets ~= '' then
  fields[#fields + 1], fields[#fields + 2] = 'x_secrets', secrets
end
if blob ~= '' then
  fields[#fields + 1], fields[#fields + 2] = 'x_blob', blob
end
local due = -1
if delay > 0 then
  local second = math.ceil((now + delay) / 1000)
  due = second * 1000
  redis.call('HSET', task(id), 'state', 'scheduled', 'x_due', whole(due), unpack(fields))
  redis.call('ZADD', A .. 'scheduled', second, id)
else
  redis.call('HSET', task(id), 'state', 'pending', 'pending_since', stamp, unpack(fields))
  redis.call('LPUSH', A .. 'pending', id)
end
adopt(blob)
return { 0, due, now }
