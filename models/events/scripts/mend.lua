-- Mends what a comparison with the database has found, if it is still so.
-- ARGV: now, kind, reservation, user or '', places, record, surplus
if call('EXISTS', HALL) == 0 then
  return -1
end
local id, user, places = ARGV[3], ARGV[4], ARGV[5]
local record, list = call('HGET', RESERVATIONS, id), split(places)
local state, owner = fields(record or '')

local kinds = {}

-- Frees seats that Redis takes for sold: those of a reservation that it has as paid, or does not have any more.
function kinds.not_paid()
  if state and state ~= 's' then
    return 0
  end
  local sold = {}
  for i = 1, #list do
    if call('HGET', TICKETS, list[i]) == id then
      sold[#sold + 1] = list[i]
    end
  end
  if #sold == 0 then
    return 0
  end
  call('HDEL', TICKETS, unpack(sold))
  paint(sold, '.')
  if (owner or user) ~= '' then
    count(owner or user, -#sold)
  end
  if state == 's' then
    local _, _, _, _, all, terms = fields(record)
    call('HSET', RESERVATIONS, id, 'r ' .. owner .. ' - - ' .. all .. ' ' .. terms)
  end
  mark(id, places)
  return 1
end

-- Holds seats again, if they are free; if they are not, the reservation is released.
function kinds.lost()
  if record then
    return 0
  end
  local owners, tickets = call('HMGET', TICKETS, unpack(list)), {}
  for i = 1, #list do
    if owners[i] then
      call('HSET', RESERVATIONS, id, 'r' .. string.sub(ARGV[6], 2))
      mark(id, places)
      return 1
    end
    tickets[2 * i - 1], tickets[2 * i] = list[i], id
  end
  call('HSET', TICKETS, unpack(tickets))
  paint(list, 'h')
  call('HSET', RESERVATIONS, id, ARGV[6])
  call('ZADD', HOLDS, string.match(ARGV[6], '^%S+ %S+ %S+ %S+ %S+ %S+ %S+ (%S+)'), id)
  call('HINCRBY', USERS, user, #list)
  mark(id, places)
  return 1
end

-- Takes away what a user is counted to have and has not.
function kinds.miscounted()
  count(user, -tonumber(ARGV[7]))
  return 1
end

-- Tells the database of a reservation.
function kinds.unheard()
  if not record then
    return 0
  end
  mark(id, places)
  return 1
end

-- Paints the map as the tickets say. A ticket of a reservation that has ended is none; one whose reservation Redis does not have is of one that is paid.
function kinds.broken_map()
  for i = 1, #list do
    local holder, char = call('HGET', TICKETS, list[i]), '.'
    if holder then
      local known = call('HGET', RESERVATIONS, holder)
      local is = known and fields(known) or 's'
      char = (is == 'h' or is == 'p') and 'h' or is == 's' and 's' or '.'
      if char == '.' then
        call('HDEL', TICKETS, list[i])
      end
    end
    call('SETRANGE', MAP, list[i], char)
  end
  mark(id, places)
  return 1
end

return kinds[ARGV[2]]()
