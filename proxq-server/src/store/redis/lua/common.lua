-- What the scripts share, between the clock and their own text.
--
-- KEYS[1] and KEYS[2] are the beginnings of all keys of one queue Q: asynq's, `asynq:{Q}:`, and ours, `proxq:{Q}:`. They
-- have the same hash tag, so they name the slot in which everything lies that a script touches. No other slot is touched.
--
-- The first write of a script is one that Redis refuses when it is full, read-only or unable to save. A script that is
-- refused has therefore changed nothing.
local A, P = KEYS[1], KEYS[2]
local seconds = math.floor(now / 1000)
local ASYNQ_GRACE_MS = 30000 -- how long after its expiry asynq leaves a lease alone
local NINETY_DAYS = 7776000 -- in seconds; how long asynq keeps counters of days, and failed jobs

local function task(id)
  return A .. 't:' .. id
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Some fields of a job's hash by their names; nil for what is not there. What is no hash is no job, and `foreign`.
local function read(id, ...)
  local values = redis.pcall('HMGET', task(id), ...)
  if values.err then
    return { foreign = true }
  end
  local job = {}
  for i, name in ipairs({ ... }) do
    job[name] = values[i] or nil
  end
  return job
end

-- The values of some fields of a job's hash; none for what is no hash.
local function fields_of(id, ...)
  local values = redis.pcall('HMGET', task(id), ...)
  return values.err and {} or values
end

-- A number that a field holds; 0 for none, and for what is none.
local function number(value)
  return tonumber(value) or 0
end

-- One more than a field holds. What is no number stays as it is, for whoever reads it to find.
local function one_more(value)
  local number = tonumber(value or 0)
  return number and number + 1 or value
end

-- The version of a record; 0 where there is none.
local function version_of(record)
  return record and string.byte(record, 1) or 0
end

-- Whether a job is under the lease with this token; '' for one that asynq gave.
local function held(job, token)
  return job.state == 'active' and (job.x_token or '') == token
end

-- The second in which a lease ends that begins now and lasts so many milliseconds.
local function lease_expiry(term)
  return math.ceil((now + term) / 1000)
end

-- Whether nobody has renewed a job's lease in time: it expired more than `grace` milliseconds ago. A lease of asynq's own is
-- left to asynq for longer. `job` needs x_token.
local function lost(job, id, grace)
  local expiry = redis.call('ZSCORE', A .. 'lease', id)
  return expiry and tonumber(expiry) * 1000 + (job.x_token and grace or ASYNQ_GRACE_MS) < now
end

local function leave_active(id)
  redis.call('LREM', A .. 'active', 0, id)
  redis.call('ZREM', A .. 'lease', id)
end

-- The fields x_log and x_reach of a job after the end of its current attempt. The log keeps the last `history` attempts.
-- `job` needs x_attempts, x_attempt, x_by, x_reach, x_log.
local function attempt_ended(job, reach, status, history)
  local entry = table.concat({ job.x_attempts or '1', job.x_attempt or whole(now), whole(now), reach, status, job.x_by or '-' }, ' ')
  local log, entries = (job.x_log or '') .. entry .. '\n', 0
  for _ in string.gmatch(log, '\n') do
    entries = entries + 1
  end
  if entries > history then
    log = string.sub(log, string.find(log, '\n', 1, true) + 1)
  end
  return log, math.max(number(job.x_reach), tonumber(reach))
end

-- Tells whoever watches a job that it changed, once. `job` needs x_watch.
local function changed(job, id)
  if job.x_watch then
    redis.call('HDEL', task(id), 'x_watch')
    for instance in string.gmatch(job.x_watch, '%S+') do
      redis.call('PUBLISH', 'proxq:changed:' .. instance, id)
    end
  end
end

-- Has a job wait for a pause in milliseconds: it is scheduled. Due in a whole second, never early. Gives when, in milliseconds. The
-- caller takes the job from where it is. `job` needs x_watch.
local function postpone(job, id, pause)
  local second = math.ceil((now + pause) / 1000)
  redis.call('ZADD', A .. 'scheduled', second, id)
  redis.call('HSET', task(id), 'state', 'scheduled', 'x_due', whole(second * 1000))
  redis.call('HDEL', task(id), 'pending_since')
  changed(job, id)
  return second * 1000
end

-- Protobuf fields of asynq's message, to be appended to it: of a field that is there twice, the last one counts.
local function varint(number)
  local bytes = {}
  while number >= 128 do
    bytes[#bytes + 1] = string.char(number % 128 + 128)
    number = math.floor(number / 128)
  end
  bytes[#bytes + 1] = string.char(number)
  return table.concat(bytes)
end

local function number_field(tag, number)
  return string.char(tag * 8) .. varint(number)
end

local function text_field(tag, text)
  return string.char(tag * 8 + 2) .. varint(#text) .. text
end

-- How often asynq's tools are told that a job may be retried: `retry`. Nothing where the message is right already.
local function retry_field(max_retries)
  return max_retries == '' and '' or number_field(5, tonumber(max_retries))
end

-- What asynq knows of a failure: error_msg and last_failed_at.
local function failure_fields(error)
  return text_field(7, error) .. number_field(11, seconds)
end

-- The present day in UTC, as asynq's counters name it. Civil calendar from days, as Howard Hinnant wrote it down.
local function day()
  local z = math.floor(seconds / 86400) + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, doy - math.floor((153 * mp + 2) / 5) + 1)
end

-- Raises asynq's counters of this name, of the day and of all time.
local function count(name)
  local of_day = A .. name .. ':' .. day()
  if redis.call('INCR', of_day) == 1 then
    redis.call('EXPIRE', of_day, NINETY_DAYS)
  end
  local total = redis.pcall('INCR', A .. name)
  if type(total) == 'table' and total.err then
    redis.call('SET', A .. name, 1) -- as asynq does at the highest number there is
  end
end

-- Makes a blob its job's: it does not expire any more, and no sweep takes it.
local function adopt(blob)
  if blob ~= '' then
    redis.call('ZREM', P .. 'blobs', blob)
    redis.call('PERSIST', P .. 'blob:' .. blob)
  end
end

-- Removes a job's hash with its bodies. `job` needs x_blob, x_result.
local function remove(job, id)
  redis.call('DEL', task(id))
  for _, blob in ipairs({ job.x_blob or '', job.x_result or '' }) do
    if blob ~= '' then
      redis.call('UNLINK', P .. 'blob:' .. blob)
    end
  end
end

-- The job that has an idempotency key, and the fingerprint of its request; nil if nobody has it. `P .. 'claim:' .. scope`
-- lives for as long as the claim may hold; `until` says it by the time that the scripts go by.
local function claimant(scope)
  local claim = redis.call('HMGET', P .. 'claim:' .. scope, 'id', 'fingerprint', 'until', 'freed')
  -- The job may be gone by now, and its id be that of another one, which claims nothing or something else.
  if claim[1] and not claim[4] and number(claim[3]) > now and read(claim[1], 'x_claim').x_claim == scope then
    return claim[1], claim[2]
  end
end

-- Whether a job's claim has not passed to another one. `job` needs x_claim.
local function has_claim(job, id)
  return job.x_claim and redis.call('HGET', P .. 'claim:' .. job.x_claim, 'id') == id
end

-- Frees a job's claim, if it has one.
local function free_claim(job, id)
  if has_claim(job, id) then
    redis.call('HSET', P .. 'claim:' .. job.x_claim, 'freed', 1)
  end
end

-- Claims again for a job that goes on, unless another one has claimed the same meanwhile.
local function take_back(job, id)
  if has_claim(job, id) then
    redis.call('HDEL', P .. 'claim:' .. job.x_claim, 'freed')
  end
end

-- Ends a job's call: nothing joins the job any more. `job` needs x_turn, x_call.
local function end_call(job, id)
  if job.x_turn then
    redis.call('HDEL', task(id), 'x_call', 'x_turn', 'x_turn_at', 'x_holder', 'x_joiner', 'x_give_up')
    redis.call('ZREM', P .. 'call:' .. (job.x_call or ''), id)
    redis.call('ZREM', P .. 'abandoned', id)
  end
end

-- Begins a job's next turn, which the instance `holder` holds. Gives its number. `job` needs x_turn, x_call. A job's call has
-- these fields: x_call, the key that its tries have in common ('' for none); x_turn, the number of the latest turn; x_turn_at,
-- when that began or was abandoned; x_holder, the instance that holds its client, '' where the client went away, '-' where
-- the instance let it go as it stopped; x_joiner, the submission that joined; x_give_up, if it is cancelled when abandoned.
-- The jobs of equal calls are in `P .. 'call:' .. key`, by x_turn_at.
local function take_turn(job, id, holder, joiner, term)
  local turn = whole(number(job.x_turn) + 1)
  redis.call('HSET', task(id), 'x_turn', turn, 'x_turn_at', whole(now), 'x_holder', holder, 'x_joiner', joiner)
  if (job.x_call or '') ~= '' then
    local same = P .. 'call:' .. job.x_call
    redis.call('ZADD', same, whole(now), id)
    redis.call('PEXPIRE', same, term)
  end
  redis.call('ZREM', P .. 'abandoned', id)
  return turn
end

-- When the first delayed or resting job is due, in milliseconds; -1 if none is. `resting`: in a queue with limits, the set of
-- credentials with filed jobs that rest; that the first of them may begin is then looked at, too.
local function next_due(resting)
  local first = -1
  for _, zset in ipairs({ 'scheduled', 'retry' }) do
    local lowest = redis.call('ZRANGE', A .. zset, 0, 0, 'WITHSCORES')[2]
    if lowest and (first < 0 or tonumber(lowest) * 1000 < first) then
      first = tonumber(lowest) * 1000
    end
  end
  local rests_until = resting and redis.call('ZRANGE', resting, 0, 0, 'WITHSCORES')[2]
  if rests_until and (first < 0 or tonumber(rests_until) < first) then
    first = math.ceil(tonumber(rests_until))
  end
  return first
end
