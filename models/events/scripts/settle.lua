-- Tells what the database says has become of reservations.
-- ARGV: now, then for each settlement: reservation, user, operation, kind, places
if call('EXISTS', HALL) == 0 then
  return -1
end

local function rewrite(id, record, state, operation, refund)
  local _, user, _, _, places, terms = fields(record)
  call('HSET', RESERVATIONS, id, state .. ' ' .. user .. ' ' .. operation .. ' ' .. refund .. ' ' .. places .. ' ' .. terms)
end

-- Takes a seat away from a reservation that cannot be paid any more, because another has bought the seat.
local function displace(id)
  local record = call('HGET', RESERVATIONS, id)
  if not record then
    return -- what Redis takes for sold: whose, it does not know
  end
  local state, user = fields(record)
  if state == 'h' then
    finish(id, record, 'r')
  elseif state == 'p' or state == 's' then
    count(user, -1)
  end
end

local kinds = {}

function kinds.sold(id, user, operation, places, record)
  local state, _, paid = 'none'
  if record then
    state, _, paid = fields(record)
  end
  if state == 'f' then
    return false -- and refunded since
  end
  local list, tickets = split(places), {}
  local same = state == 'none' or state == 's'
  for i = 1, #list do
    local owner = call('HGET', TICKETS, list[i]) -- one at a time: to displace one may free others
    if owner ~= id then
      if owner then
        displace(owner)
      end
      tickets[#tickets + 1], tickets[#tickets + 2] = list[i], id
    end
    same = same and owner == id and call('GETRANGE', MAP, list[i], list[i]) == 's'
  end
  if same then
    return false
  end
  if #tickets > 0 then
    call('HSET', TICKETS, unpack(tickets))
    call('HINCRBY', USERS, user, #tickets / 2)
  end
  paint(list, 's')
  call('ZREM', HOLDS, id)
  if record and operation ~= '-' then
    rewrite(id, record, 's', operation, '-')
  elseif record then
    call('HDEL', RESERVATIONS, id) -- the database knows by what it was paid
  end
  mark(id, places)
  return true
end

function kinds.paid(id, user, operation, places, record)
  local state, _, claim = fields(record or '')
  if state == 'h' or (state == 'p' and claim == operation) then
    return kinds.sold(id, user, operation, places, record)
  end
  return false
end

function kinds.freed(id, _, operation, _, record)
  local state, _, claim = fields(record or '')
  if state == 'h' or (state == 'p' and claim == operation) then
    finish(id, record, 'r')
    return true
  end
  return false
end

function kinds.unclaimed(id, _, operation, _, record)
  local state, _, claim, _, places, terms = fields(record or '')
  if state ~= 'p' or claim ~= operation then
    return false
  end
  rewrite(id, record, 'h', '-', '-')
  call('ZADD', HOLDS, string.match(terms, '^%S+ %S+ (%S+)'), id)
  mark(id, places)
  return true
end

function kinds.refunded(id, user, operation, places, record)
  local state, _, paid = fields(record or '')
  local freed = vacate(id, user, split(places))
  if record and state ~= 'f' then
    call('ZREM', HOLDS, id)
    rewrite(id, record, 'f', state == 's' and paid or '-', operation)
  elseif freed == 0 then
    return false
  end
  mark(id, places)
  return true
end

local changed = 0
for i = 2, #ARGV, 5 do
  local id = ARGV[i]
  if kinds[ARGV[i + 3]](id, ARGV[i + 1], ARGV[i + 2], ARGV[i + 4], call('HGET', RESERVATIONS, id)) then
    changed = changed + 1
  end
end
return changed
