-- Whether there is anything to hand out. Changes nothing.
--
-- Returns {1 if the queue is paused, now, when the next job is due or -1, 1 if there is something}
local first = next_due(P .. 'resting')
local something = redis.call('LLEN', A .. 'pending') + waiting('high') + waiting('low') + redis.call('ZCARD', P .. 'ready') > 0
  or (first >= 0 and first <= now)
local paused = redis.call('EXISTS', A .. 'paused') == 1
return { paused and 1 or 0, now, first, (something and not paused) and 1 or 0 }
