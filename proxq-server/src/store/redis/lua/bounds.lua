-- The time that jobs have, between what all scripts share and their own text.
--
-- `x_bounds` of a job that has not ended has it: 'begin end retention error', all in ms. The first attempt begins before the
-- instant `begin`, any before `end` ('-' for none). The job is kept for `retention` once it has ended, and `error` is said of
-- one that has not begun in time. `P .. 'bounded'` has the ids of those that wait, by the instant that ends them.
local BOUNDS = '^(%d+) ([%d-]+) (%d+) (.*)$'

-- The instant that ends a job while it waits; nil if none does, or what is there cannot be read. `job` needs x_bounds.
local function ends(job, attempts)
  local begin_by, end_by = string.match(job.x_bounds or '', BOUNDS)
  return tonumber(attempts == 0 and begin_by or end_by)
end

-- Notes that a job waits from now on. `job` needs x_bounds.
local function waits_on(job, id, attempts)
  local instant = ends(job, attempts)
  if instant then
    redis.call('ZADD', P .. 'bounded', whole(instant), id)
  end
end

-- Notes that a job does not wait any more. `job` needs x_bounds.
local function waits_no_more(job, id)
  if job.x_bounds then
    redis.call('ZREM', P .. 'bounded', id)
  end
end

local OVERDUE_FIELDS = { 'msg', 'state', 'x_facts', 'x_bounds', 'x_attempts', 'x_reach', 'x_error', 'x_watch', 'x_claim',
  'x_priority', 'x_turn', 'x_call' }

-- Ends a job whose time is over: as expired before its first attempt, by its attempts later. The caller takes it from where it
-- waits. `words`: what follows the error of one that has begun · reach · outcome if nothing was sent · if that is unknown.
-- `job` needs OVERDUE_FIELDS, and `ends`. Gives what is said in the log.
local function end_overdue(job, id, words)
  local behind, nothing_sent, not_sent, indeterminate = unpack(words)
  local attempts = number(job.x_attempts)
  local _, _, retention, error = string.match(job.x_bounds, BOUNDS)
  local outcome = not_sent
  if attempts > 0 then
    error = (job.x_error or 'no attempt brought a response') .. behind
    outcome = number(job.x_reach) > tonumber(nothing_sent) and indeterminate or not_sent
  end
  redis.call('ZADD', A .. 'archived', seconds, id)
  redis.call('HSET', task(id), 'msg', job.msg .. failure_fields(error), 'state', 'archived', 'x_error', error,
    'x_outcome', outcome, 'x_ended', whole(now), 'x_expired', attempts == 0 and 1 or 0)
  redis.call('HDEL', task(id), 'pending_since', 'x_due', 'x_bounds')
  redis.call('ZADD', P .. 'failed', whole(now + tonumber(retention)), id)
  redis.call('ZREM', P .. 'bounded', id)
  if outcome == not_sent then
    free_claim(job, id)
    end_call(job, id)
  end
  count('processed')
  count('failed')
  changed(job, id)
  return { id, attempts, outcome, error }
end
