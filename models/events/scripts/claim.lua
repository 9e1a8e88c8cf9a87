-- Gives reservations to payments.
-- ARGV: now, then for each claim: reservation, operation
if call('EXISTS', HALL) == 0 then
  return {'not_loaded'}
end
local answers = {'claimed'}
for i = 2, #ARGV, 2 do
  local id, operation = ARGV[i], ARGV[i + 1]
  local record, outcome = call('HGET', RESERVATIONS, id), 'unknown'
  if record then
    local state, user, claim, _, places, terms = fields(record)
    if state == 'h' and tonumber(string.match(terms, '^%S+ %S+ (%S+)')) <= NOW then
      finish(id, record, 'e')
      record, outcome = call('HGET', RESERVATIONS, id), 'expired'
    elseif state == 'h' then
      record, outcome = 'p ' .. user .. ' ' .. operation .. ' - ' .. places .. ' ' .. terms, 'claimed'
      call('HSET', RESERVATIONS, id, record)
      call('ZREM', HOLDS, id)
    elseif state == 'p' and claim == operation then
      outcome = 'claimed'
    else
      outcome = state == 'e' and 'expired' or 'not_held'
    end
  end
  answers[#answers + 1], answers[#answers + 2] = outcome, record or ''
end
return answers
