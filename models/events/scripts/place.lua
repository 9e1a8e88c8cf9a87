-- Where a user stands in the waiting room.
-- ARGV: now, user
local rate = call('HGET', HALL, 'rate')
if not rate then
  return {'not_loaded'}
end
if rate == '0' then
  return {'open'}
end
local user = ARGV[2]
local _, _, tokens = admit()
local untl = admitted(user)
if untl then
  return {'admitted', text(untl)}
end
local ahead, wait = place(user, tonumber(rate), tokens)
if ahead then
  return {'waiting', ahead, wait}
end
return {tokens >= TOKEN and call('ZCARD', WAITING) == 0 and 'open' or 'outside'}
