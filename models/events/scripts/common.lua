-- What the scripts share; each has it before its own text. All take the same keys, and the time as their first argument.
--
-- A record is "state user claimed-or-paid-by refunded-by places total reserved expires stamp account" (reservation.go). States: h held, p claimed by a payment,
-- s paid, r released, e expired, f refunded.
local call = redis.call
local HALL, MAP, TICKETS, RESERVATIONS, HOLDS, USERS, UNSYNCED, WAITING, ADMITTED = unpack(KEYS)
local NOW = tonumber(ARGV[1])

-- A number as Redis is to read it again: Lua's own way is to round what is long.
local function text(number)
  return string.format('%.0f', number)
end

local function fields(record)
  return string.match(record, '^(%a) (%S+) (%S+) (%S+) (%S+) (.*)$')
end

local function split(places)
  local list = {}
  for place in string.gmatch(places, '%d+') do
    list[#list + 1] = tonumber(place)
  end
  return list
end

-- Writes a character at places; neighbours in the list that are neighbours in the map go together.
local function paint(list, char)
  local i = 1
  while i <= #list do
    local j = i
    while list[j + 1] == list[j] + 1 do
      j = j + 1
    end
    call('SETRANGE', MAP, text(list[i]), string.rep(char, j - i + 1))
    i = j + 1
  end
end

-- Tells the database of a change. The mark names the places too: soon they may be somebody else's. Its number is how many there were before it, those that have
-- been taken out (the hall's "synced") and those that are there; the number of the last is the version of the map.
local function mark(id, places)
  call('RPUSH', UNSYNCED, ARGV[1] .. ' ' .. id .. ' ' .. places)
end

-- A user has exactly as many seats as there are tickets of the user's reservations.
local function count(user, seats)
  if call('HINCRBY', USERS, user, seats) <= 0 then
    call('HDEL', USERS, user)
  end
end

-- Frees those of the places that are the reservation's, and says how many they were.
local function vacate(id, user, list)
  local owners, own = call('HMGET', TICKETS, unpack(list)), {}
  for i = 1, #list do
    if owners[i] == id then
      own[#own + 1] = list[i]
    end
  end
  if #own > 0 then
    call('HDEL', TICKETS, unpack(own))
    paint(own, '.')
    count(user, -#own)
  end
  return #own
end

-- Ends a reservation that is held or claimed. One that has no record, which no script leaves behind, is at least not found due again and again.
local function finish(id, record, state)
  call('ZREM', HOLDS, id)
  if not record then
    return
  end
  local _, user, _, _, places, terms = fields(record)
  vacate(id, user, split(places))
  call('HSET', RESERVATIONS, id, state .. ' ' .. user .. ' - - ' .. places .. ' ' .. terms)
  mark(id, places)
end

-- Ends holds that are past their time, the oldest first, and says how many.
local function expire(limit)
  local due = call('ZRANGEBYSCORE', HOLDS, '-inf', ARGV[1], 'LIMIT', 0, limit)
  for i = 1, #due do
    finish(due[i], call('HGET', RESERVATIONS, due[i]), 'e')
  end
  return #due
end
