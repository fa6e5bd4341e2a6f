-- Pending jobs that were put aside, because their credential holds them back or because credentials take turns.
--
-- `P .. 'filed'` has all of them, and `P .. 'of:' .. credential` those of one credential, both by their order. A credential that has
-- any is in `P .. 'ready'`, by the order of its first job or by its turn, or in `P .. 'resting'`, by the millisecond until which its
-- rate or a park holds it back. lease_within.lua files them, and takes out credentials that have none any more; who takes a job out
-- of where it waits, may find it here.
local FILED, READY, RESTING, PARKED = P .. 'filed', P .. 'ready', P .. 'resting', P .. 'parked'
local HIGH_FIRST = 2 ^ 50 -- in microseconds; more than anything waits
local LOW_LATER = 60000000 -- in microseconds; how much longer than others a job of low priority waits at most

-- What a credential is called in these keys. A job of Go's has none.
local function credential_name(job)
  return job.x_cred and (string.gsub(string.sub(job.x_cred, 1, 8), '.', function(byte)
    return string.format('%02x', string.byte(byte))
  end)) or '-'
end

-- The place of a pending job among all: what begins first has the lowest. `job` needs pending_since, x_priority.
local function pending_order(job)
  local micros = tonumber(string.sub(job.pending_since or '', 1, -4)) or 0
  if job.x_priority == 'high' then
    return micros - HIGH_FIRST
  end
  return job.x_priority == 'low' and micros + LOW_LATER or micros
end

-- Takes a filed job out. Gives whether it was there.
local function leave_file(id)
  if redis.call('ZREM', FILED, id) == 0 then
    return false
  end
  redis.call('ZREM', P .. 'of:' .. credential_name(read(id, 'x_cred')), id)
  return true
end

-- Takes a pending job out of where it waits. `count` is as in LREM: 0 looks everywhere, -1 from the oldest end to the first that
-- is found. `job` needs x_priority.
local function leave_pending(job, id, count)
  local set = SETS[job.x_priority]
  if leave_file(id) then
    return
  end
  if not set or redis.call('ZREM', set, id) == 0 then
    redis.call('LREM', A .. 'pending', count, id)
  end
end
