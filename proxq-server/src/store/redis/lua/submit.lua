-- Takes a job in: (none) → pending, or scheduled if it has a delay.
--
-- ARGV: id · asynq's message · facts · credential · delay in ms (0 for none) · secret headers ('' for none) · body's blob
-- ('' for none) · scope of its claim ('' for none) · fingerprint · how long the claim holds in ms · priority ('' where it is
-- normal) · within how many ms its first attempt begins ('' for no bounds) · any attempt ('' for no end) · the rest of its
-- bounds · how many jobs may wait ('' for any number);
-- and for a job of a call: the key of the call ('' for none) · this instance · 0 to become a job in any case, 1 to join an
-- abandoned one, 2 to wait for one that is held · for how long an abandoned job can be joined, in ms · for how long one whose
-- server ended · for how long the call is known · the most jobs that are looked at · 1 if it is cancelled when it is abandoned
-- Returns {0 taken in | 1 there already, of this credential | 2 of another one | 3 its blob is gone | 4 a job with the same
-- claim and fingerprint is there | 5 one with another fingerprint | 6 it joins a job | 7 it waits for one | 8 as many jobs wait
-- as may, when due, or the number of its turn at the job that it joins, or -1, now, id of the job that is there or '',
-- facts of the job with this id if it is of this credential, or ''}
local id, message, facts, credential, delay, secrets, blob =
  ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6], ARGV[7]
local scope, fingerprint, ttl, priority = ARGV[8], ARGV[9], tonumber(ARGV[10]), ARGV[11]
local begin_ms, end_ms, bounds = tonumber(ARGV[12]), tonumber(ARGV[13]), ARGV[14]
local max_queued = tonumber(ARGV[15])
local has_call = #ARGV > 15
local key, instance, join, window, lost_window, term, candidates, give_up = unpack(ARGV, 16, 23)

-- Whether an instance lives: it hears its channel. What it hears here means nothing to it.
local function lives(other)
  return other == instance or other ~= '-' and redis.call('PUBLISH', 'proxq:changed:' .. other, '') > 0
end

-- Of the jobs of equal calls: one that this submission joined before or that was abandoned first, and else one whose client
-- seems to be there still.
local function earlier_try()
  local first, first_job, held
  for _, other in ipairs(redis.call('ZREVRANGE', P .. 'call:' .. key, 0, candidates - 1)) do
    local job = read(other, 'x_call', 'x_turn', 'x_turn_at', 'x_holder', 'x_joiner')
    if job.x_call == key then
      if job.x_joiner == id then
        return other, job, held
      end
      local since, holder = now - number(job.x_turn_at), job.x_holder or '-'
      if holder ~= '' and lives(holder) then
        held = held or other
      elseif since < tonumber((holder == '' or holder == '-') and window or lost_window) then
        first, first_job = other, job -- they come latest first
      end
    end
  end
  return first, first_job, held
end

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
if has_call and key ~= '' and join ~= '0' then
  local other, job, held = earlier_try()
  if other then
    return { 6, job.x_joiner == id and tonumber(job.x_turn) or tonumber(take_turn(job, other, instance, id, term)), now, other, '' }
  elseif held and join == '2' then
    return { 7, -1, now, held, '' }
  end
end
if max_queued then
  local waits = redis.call('LLEN', A .. 'pending') + waiting('high') + waiting('low') + redis.call('ZCARD', P .. 'filed')
    + redis.call('ZCARD', A .. 'scheduled') + redis.call('ZCARD', A .. 'retry')
  if waits >= max_queued then
    return { 8, -1, now, '', '' }
  end
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
if priority ~= '' then
  fields[#fields + 1], fields[#fields + 2] = 'x_priority', priority
end
local job = {}
if begin_ms then
  local end_by = end_ms and whole(now + end_ms) or '-'
  job.x_bounds = table.concat({ whole(now + begin_ms), end_by, bounds }, ' ')
  fields[#fields + 1], fields[#fields + 2] = 'x_bounds', job.x_bounds
end
local due = -1
if delay > 0 then
  local second = math.ceil((now + delay) / 1000)
  due = second * 1000
  redis.call('ZADD', A .. 'scheduled', second, id)
  redis.call('HSET', task(id), 'state', 'scheduled', 'x_due', whole(due), unpack(fields))
else
  local since = wait_behind(id, priority)
  redis.call('HSET', task(id), 'state', 'pending', 'pending_since', since, unpack(fields))
end
adopt(blob)
waits_on(job, id, 0)
if has_call then
  redis.call('HSET', task(id), 'x_call', key, 'x_give_up', give_up)
  if key ~= '' then
    redis.call('ZREMRANGEBYSCORE', P .. 'call:' .. key, '-inf', whole(now - term))
  end
  take_turn({ x_call = key }, id, instance, '', term)
end
if scope ~= '' then
  local claim = P .. 'claim:' .. scope
  redis.call('DEL', claim)
  redis.call('HSET', claim, 'id', id, 'fingerprint', fingerprint, 'until', whole(now + ttl))
  redis.call('PEXPIRE', claim, whole(ttl))
end
return { 0, due, now, '', '' }
