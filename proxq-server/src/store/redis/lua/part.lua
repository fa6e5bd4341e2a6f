-- Ends a job's latest turn: with the final answer, which ends the call, or because its client went away.
--
-- ARGV: id · number of the turn · 'answered', '' where the client went away, '-' where the server lets it go
-- Returns 1, or 0 where there is no such turn here
local id, turn, how = ARGV[1], ARGV[2], ARGV[3]
local job = read(id, 'x_turn', 'x_call', 'x_give_up', 'x_watch')
if job.x_turn ~= turn then
  return 0
end
if how == 'answered' then
  end_call(job, id)
  changed(job, id)
  return 1
end
redis.call('HSET', task(id), 'x_turn_at', whole(now), 'x_holder', how)
if job.x_call ~= '' then
  redis.call('ZADD', P .. 'call:' .. job.x_call, 'XX', whole(now), id)
end
if how == '' and job.x_give_up == '1' then
  redis.call('ZADD', P .. 'abandoned', whole(now), id)
end
changed(job, id)
return 1
