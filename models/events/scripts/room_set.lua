-- Opens, changes or closes the waiting room.
-- ARGV: now, rate, window
local rate = call('HGET', HALL, 'rate')
if not rate then
  return 0
end
if ARGV[2] == '0' then
  call('DEL', WAITING, ADMITTED)
elseif rate == '0' then
  call('HSET', HALL, 'tokens', ARGV[2] * TOKEN, 'filled', ARGV[1])
else -- the tokens until now came at the rate until now
  local _, _, tokens = admit()
  call('HSET', HALL, 'tokens', text(math.min(tokens, ARGV[2] * TOKEN)))
end
call('HSET', HALL, 'rate', ARGV[2], 'window', ARGV[3])
return 1
