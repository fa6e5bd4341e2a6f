-- Begins a job's next turn: a client waits for it again.
--
-- ARGV: id · this instance · for how long the call is known, in ms
-- Returns the number of the turn, or 0 where there is no such job here, or its call has ended
local job = read(ARGV[1], 'x_turn', 'x_call')
if not job.x_turn then
  return 0
end
return tonumber(take_turn(job, ARGV[1], ARGV[2], '', ARGV[3]))
