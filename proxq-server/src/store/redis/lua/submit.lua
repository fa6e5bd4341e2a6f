-- Takes a job in: (none) → pending, or scheduled if it has a delay.
--
-- ARGV: id · asynq's message · facts · credential · delay in ms (0 for none) · secret headers ('' for none) · body's blob
-- ('' for none) · scope of its claim ('' for none) · fingerprint · how long the claim holds in ms
-- Returns {0 taken in | 1 there already, of this credential | 2 of another one | 3 its blob is gone | 4 a job with the same
-- claim and fingerprint is there | 5 one with another fingerprint, when due or -1, now, id of the job that is there or '',
-- facts of the job with this id if it is of this credential, or ''}
local id, message, facts, credential, delay, secrets, blob =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local scope, fingerprint, ttl = ARGV[8], ARGV[9], tonumber(ARGV[10])
local there = read(id, 'msg', 'x_cred', 'x_facts')
if there.foreign or there.msg and there.x_cred ~= credential then
  return { 2, -1, now, id, '' }
end
if scope ~= '' then
  local holder, of = claimant(scope)
  -- A job that is there is told of itself, also where its claim has passed to another one meanwhile.
  if holder and (holder == id or not there.msg) then
    return { of == fingerprint and 4 or 5, -1, now, holder, there.x_facts or '' }
  end
end
if there.msg then
  return { 1, -1, now, id, there.x_facts or '' }
end
if blob ~= '' and redis.call('EXISTS', P .. 'blob:' .. blob) == 0 then
  return { 3, -1, now, '', '' }
end
local fields = { 'msg', message, 'x_facts', facts, 'x_cred', credential }
if secrets ~= '' then
  fields[#fields + 1], fields[#fields + 2] = 'x_secrets', secrets
end
if blob ~= '' then
  fields[#fields + 1], fields[#fields + 2] = 'x_blob', blob
end
if scope ~= '' then
  fields[#fields + 1], fields[#fields + 2] = 'x_claim', scope
end
local due = -1
if delay > 0 then
  local second = math.ceil((now + delay) / 1000)
  due = second * 1000
  redis.call('ZADD', A .. 'scheduled', second, id)
  redis.call('HSET', task(id), 'state', 'scheduled', 'x_due', whole(due), unpack(fields))
else
  redis.call('LPUSH', A .. 'pending', id)
  redis.call('HSET', task(id), 'state', 'pending', 'pending_since', stamp, unpack(fields))
end
adopt(blob)
if scope ~= '' then
  local claim = P .. 'claim:' .. scope
  redis.call('DEL', claim)
  redis.call('HSET', claim, 'id', id, 'fingerprint', fingerprint, 'until', whole(now + ttl))
  redis.call('PEXPIRE', claim, whole(ttl))
end
return { 0, due, now, '', '' }
