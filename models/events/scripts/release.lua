-- Frees the seats of a reservation that is held.
-- ARGV: now, reservation, user
if call('EXISTS', HALL) == 0 then
  return {'not_loaded'}
end
local id, user = ARGV[2], ARGV[3]
local record = call('HGET', RESERVATIONS, id)
if not record then
  return {'unknown'}
end
local state, owner, _, _, _, terms = fields(record)
if owner ~= user then
  return {'unknown'}
end
if state == 'h' then
  local due = tonumber(string.match(terms, '^%S+ %S+ (%S+)')) <= NOW
  finish(id, record, due and 'e' or 'r')
  return {due and 'ended' or 'released', call('HGET', RESERVATIONS, id)}
end
return {(state == 'p' or state == 's') and 'paid' or 'ended', record}
