-- Hands out jobs of a queue with limits: pending → active. What `choose` of pacing/turns.rs decides for stores in this process
-- is decided here for all instances, by the same rules.
--
-- ARGV: those of leasing.lua · pace of the queue ('' for none) · how many attempts run at once over all instances ('' for any
-- number) · 1 if credentials take turns · how many attempts run at once of a credential ('' for any number) · pace of each
-- credential ('' for none) · how many run here, 'credential count …' · names of the fields to give…
-- Returns {1 if the queue is paused, now, when the next job is due or -1, 1 if there is more, {{id, token, {fields}}…},
-- {jobs that ended instead, for their time was over…}, {of the jobs whose key is missing one for each key, {id, facts}…}, what holds
-- back the whole queue: 0 nothing | 1 its rate | 2 the number at once, until when or -1}
first_field = 20
local pace, shared, fair = pace_of(ARGV[14]), tonumber(ARGV[15]), ARGV[16] == '1'
local at_once, credential_pace = tonumber(ARGV[17]), pace_of(ARGV[18])
local NOTHING, RATE, LIMIT = 0, 1, 2
local hold, hold_until = NOTHING, -1
local more = false

local function answer(paused)
  -- Nobody is woken by what is due in a paused queue.
  return { paused and 1 or 0, now, paused and -1 or next_due(RESTING), more and 1 or 0, jobs, overdue, locked, hold, hold_until }
end

local wrong = wrong_kind()
if wrong then
  return wrong
end
if is_repeated() then
  more = true
  return answer(false)
end
if redis.call('EXISTS', A .. 'paused') == 1 then
  return answer(true)
end

local queue_next = pace and next_start(P .. 'pace', pace)
local by_rate = pace and room_after(queue_next, pace) or math.huge
local by_number = shared and math.max(shared - redis.call('ZCARD', A .. 'lease') - places_held(), 0) or math.huge
local most = math.min(max, by_rate, by_number)
local function hold_queue()
  if by_rate <= by_number then
    hold, hold_until = RATE, math.ceil(queue_next / 1000)
  else
    hold = LIMIT
  end
end
if most == 0 then
  if max > 0 then
    hold_queue()
  end
  return answer(false)
end

for _, zset in ipairs({ 'scheduled', 'retry' }) do
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', A .. zset, '-inf', seconds, 'LIMIT', 0, max)) do
    local job = read(id, 'msg', 'x_priority', 'x_watch')
    if job.msg then
      wake(job, id, zset)
    end
  end
end
local high, low = waiting('high'), waiting('low') -- how many wait in the sets
local any_filed = redis.call('EXISTS', FILED) == 1
if not any_filed and redis.call('LLEN', A .. 'pending') + high + low == 0 then
  redis.call('DEL', READY, RESTING)
  return answer(false)
end
open_order()
local any_parked = redis.call('EXISTS', PARKED) == 1
if any_parked then
  redis.call('ZREMRANGEBYSCORE', PARKED, '-inf', whole(now))
end
if shared then
  redis.call('ZREMRANGEBYSCORE', PLACES, '-inf', whole(now))
end
local begun, looked, exhausted = 0, 0, false

-- Begins an attempt at a job that was taken from where it waits. Gives whether it begins.
local function attempt(id)
  local job = read(id, unpack(BEGIN_FIELDS))
  local begins = begin(id, job, job.pending_since or '')
  if begins then
    begun = begun + 1
    queue_next = pace and queue_next + pace.interval
  end
  return begins
end

local function conclude()
  if pace and begun > 0 then
    keep_start(P .. 'pace', pace, queue_next)
  end
  if begun == most and most < max then
    hold_queue()
  end
  more = not exhausted and hold == NOTHING
  close_order()
  return answer(false)
end

-- Where nothing can hold back a credential, the oldest job is next, whosever it is.
if not (fair or at_once or credential_pace or any_filed or any_parked) and high + low == 0 then
  while begun < most and looked < most + beyond do
    local id = redis.call('RPOP', A .. 'pending')
    if not id then
      exhausted = true
      break
    end
    looked = looked + 1
    attempt(id)
  end
  return conclude()
end

local running = at_once and running_of(ARGV[19], shared) or {}

-- The first job that is not filed: {id, job, order, credential, key of its set, or nil in asynq's list}.
local front
local function first_pending()
  if front then
    return front
  end
  local id, set = redis.call('ZRANGE', SETS.high, 0, 0)[1], SETS.high
  if not id then
    id, set = redis.call('LINDEX', A .. 'pending', -1), nil
    local low = redis.call('ZRANGE', SETS.low, 0, 0, 'WITHSCORES')
    if low[1] and (not id or tonumber(low[2]) + LOW_LATER < pending_order(read(id, 'pending_since', 'x_priority'))) then
      id, set = low[1], SETS.low
    end
  end
  if id then
    -- Without its message, which may be large, and is of no use where the job is filed.
    local job = read(id, 'state', 'x_cred', 'x_facts', 'x_token', 'x_priority', 'pending_since')
    front = { id = id, job = job, order = pending_order(job), credential = credential_name(job), set = set }
  end
  return front
end

local function take_front()
  if front.set then
    redis.call('ZREM', front.set, front.id)
  else
    redis.call('RPOP', A .. 'pending')
  end
  front = nil
end

-- Until when a credential is held back, in milliseconds; nil if it is not.
local function rests_until(credential)
  local until_ms = tonumber(redis.call('ZSCORE', PARKED, credential) or 0)
  if credential_pace then
    local next = next_start(P .. 'pace:' .. credential, credential_pace)
    if next > micros_now then
      until_ms = math.max(until_ms, math.ceil(next / 1000))
    end
  end
  return until_ms > now and until_ms or nil
end

local function is_full(credential)
  return at_once and (running[credential] or 0) >= at_once
end

-- Puts a credential with filed jobs among the ready or the resting ones.
local function place(credential, order)
  local until_ms = rests_until(credential)
  if until_ms then
    redis.call('ZREM', READY, credential)
    redis.call('ZADD', RESTING, until_ms, credential)
  elseif fair then
    redis.call('ZADD', READY, 'NX', order, credential)
  else
    redis.call('ZADD', READY, 'LT', order, credential)
  end
end

local turn = fair and number(redis.call('GET', P .. 'turn')) or 0

-- Those of one credential that wait since the same moment keep their order.
local function file()
  local id, credential, order = front.id, front.credential, front.order
  local last = tonumber(redis.call('ZREVRANGE', P .. 'of:' .. credential, 0, 0, 'WITHSCORES')[2] or 0)
  if last >= order and last < order + TIES then
    order = last + 1
  end
  take_front()
  redis.call('ZADD', FILED, whole(order), id)
  redis.call('ZADD', P .. 'of:' .. credential, whole(order), id)
  place(credential, fair and turn or whole(order))
end

-- Whether the first job that is not filed can be: it is one of this version's, and nobody has it.
local function can_be_filed()
  local job = front.job
  return job.state == 'pending' and not job.x_token and version_of(job.x_facts) <= version
end

-- Where other limits hold than at the last call, each credential is looked at again.
local holds = ARGV[16] .. ' ' .. ARGV[18]
local held_before = any_filed and redis.call('GET', P .. 'holds')
if any_filed and held_before ~= holds then
  redis.call('SET', P .. 'holds', holds)
  if held_before then
    redis.call('ZUNIONSTORE', READY, 1, READY, 'WEIGHTS', 0)
    redis.call('ZUNIONSTORE', RESTING, 1, RESTING, 'WEIGHTS', 0)
  end
end
for _, credential in ipairs(redis.call('ZRANGEBYSCORE', RESTING, '-inf', whole(now), 'LIMIT', 0, beyond)) do
  redis.call('ZREM', RESTING, credential)
  local first = redis.call('ZRANGE', P .. 'of:' .. credential, 0, 0, 'WITHSCORES')
  if first[1] then
    place(credential, fair and turn or first[2])
  end
end
local filed = 0
while fair and filed < beyond and first_pending() and can_be_filed() do
  file()
  filed = filed + 1
end

-- The first credential with filed jobs that may begin, and its place. Only so many are passed over as have running attempts.
local function first_ready()
  local passed = 0
  while true do
    local found = redis.call('ZRANGE', READY, passed, passed, 'WITHSCORES')
    if not found[1] or not is_full(found[1]) then
      return found[1], tonumber(found[2])
    end
    passed = passed + 1
  end
end

while begun < most and looked < most + beyond do
  looked = looked + 1
  local ready, place_of_ready = first_ready()
  local first = first_pending()
  if not ready and not first then
    exhausted = true
    break
  end
  local id, credential
  if ready and not (first and not fair and first.order < place_of_ready) then
    credential = ready
    local own = P .. 'of:' .. credential
    local head = redis.call('ZRANGE', own, 0, 0, 'WITHSCORES')
    if head[1] and not fair and tonumber(head[2]) > place_of_ready then
      redis.call('ZADD', READY, head[2], credential) -- the one that was first has been cancelled, or its time is over
    elseif head[1] then
      id = head[1]
      redis.call('ZREM', own, id)
      redis.call('ZREM', FILED, id)
    else
      redis.call('ZREM', READY, credential)
    end
  elseif can_be_filed() and (is_full(first.credential) or rests_until(first.credential)) then
    file()
  else
    id, credential, ready = first.id, first.credential, nil
    take_front()
  end
  if id then
    if attempt(id) then
      running[credential] = (running[credential] or 0) + 1
      if credential_pace then
        local key = P .. 'pace:' .. credential
        keep_start(key, credential_pace, next_start(key, credential_pace) + credential_pace.interval)
        local order = not ready and redis.call('ZSCORE', READY, credential)
        if order then
          place(credential, order) -- the same credential has filed jobs, too
        end
      end
    end
    if ready then
      redis.call('ZREM', READY, credential)
      local next = redis.call('ZRANGE', P .. 'of:' .. credential, 0, 0, 'WITHSCORES')
      if next[1] then
        turn = turn + 1
        place(credential, fair and turn or next[2])
      end
    end
  end
end
if fair then
  redis.call('SET', P .. 'turn', whole(turn))
end
return conclude()
