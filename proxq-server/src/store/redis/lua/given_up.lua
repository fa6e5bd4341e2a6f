-- The jobs that are cancelled when they are abandoned, and were a while ago.
--
-- ARGV: how long ago in ms · the most jobs
-- Returns {id, number of the turn}…
local given_up = {}
for _, id in ipairs(redis.call('ZRANGEBYSCORE', P .. 'abandoned', '-inf', whole(now - tonumber(ARGV[1])), 'LIMIT', 0, ARGV[2])) do
  local job = read(id, 'state', 'x_turn')
  if job.x_turn and job.state ~= 'completed' and job.state ~= 'archived' then
    given_up[#given_up + 1] = { id, job.x_turn }
  else
    redis.call('ZREM', P .. 'abandoned', id)
  end
end
return given_up
