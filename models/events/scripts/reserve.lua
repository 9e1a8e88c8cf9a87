-- Holds seats, all or none. This is what thousands do at once, so it does without the library, which takes a moment to be made, unless somebody is in the way.
-- ARGV: now, reservation, user, expires, idempotency key or '', hash of the request, stamp and account, how many seats; then
--   'seats', total, places with commas, place…
--   'best', how many seats the hall has or '' if a section is named, then for each section: first place, last place, seats in a row, total
-- KEYS: as always, then, with an idempotency key, where those of today and of yesterday are
local call = redis.call
local HALL, MAP, TICKETS, RESERVATIONS, HOLDS, USERS = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local id, user, expires, key, n = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[8])
local now, named = tonumber(ARGV[1]), ARGV[9] == 'seats'
local BATCH = 200 -- holds that are ended at once; should there be more, the caller asks again

local hall = call('HMGET', HALL, 'starts_at', 'max_per_user', 'rate')
if not hall[1] then
  return {'not_loaded'}
end
if key ~= '' then
  local before = call('HGET', KEYS[10], key) or call('HGET', KEYS[11], key)
  if before then
    if string.sub(before, 1, 32) ~= ARGV[6] then
      return {'reused'}
    end
    return {'reserved', string.sub(before, 33)}
  end
elseif not named then -- for seats with names, see whose they are
  local made = call('HGET', RESERVATIONS, id)
  if made then
    return {'reserved', id .. ' ' .. made}
  end
end
if now >= tonumber(hall[1]) then
  return {'started'}
end
if tonumber(expires) > tonumber(hall[1]) then
  expires = hall[1]
end
if hall[3] ~= '0' then
  local _, _, enter = library()
  local ahead, wait = enter(user)
  if ahead then
    return {'waiting', ahead, wait}
  end
end

local total, places, list = ARGV[10], ARGV[11], {}

if named then
  local owners, made, taken = call('HMGET', TICKETS, unpack(ARGV, 12)), true, false
  for i = 1, n do
    taken = taken or owners[i]
    made = made and owners[i] == id
    list[i] = ARGV[11 + i]
  end
  made = made and call('HGET', RESERVATIONS, id)
  if made then -- the request was repeated because the answer was lost
    return {'reserved', id .. ' ' .. made}
  end
  if taken then
    -- Those whose holds are past their time are not: these are ended.
    local _, finish = library()
    local ended, who = {}, {'taken'}
    for i = 1, n do
      local owner = owners[i]
      if owner and not ended[owner] then
        local score = call('ZSCORE', HOLDS, owner)
        if score and tonumber(score) <= now then
          finish(owner, call('HGET', RESERVATIONS, owner), 'e')
          ended[owner] = true
        else
          who[#who + 1] = i - 1
        end
      end
    end
    if #who > 1 then
      return who
    end
  end
else
  -- The place of the first of n free seats together in a section: in its first row that has them, those nearest to the middle. Read from the front, in larger and
  -- larger pieces, because the map may be long, and what is free may be far in front or far behind.
  local function find(first, last, width)
    local together, rows = string.rep('.', n), math.ceil(2000 / (width + 1))
    while first <= last do
      local piece = call('GETRANGE', MAP, first, math.min(first + rows * (width + 1) - 2, last))
      local at = string.find(piece, together, 1, true)
      if at then
        -- The nearest is the first from the middle on, or the first from there back.
        local start = at - 1 - (at - 1) % (width + 1)
        local row, middle = string.sub(piece, start + 1, start + width), math.floor((width - n) / 2)
        local right = string.find(row, together, middle + 1, true)
        local left = string.find(string.reverse(row), together, width - n - middle + 1, true)
        local best = left and width - n - left + 1
        if right and (not best or math.abs(2 * (right - 1) + n - width) < math.abs(2 * best + n - width)) then
          best = right - 1
        end
        return first + start + best
      end
      first, rows = first + rows * (width + 1), rows * 2
    end
  end

  -- Whether enough seats are free in a section, though not together.
  local function enough(first, last)
    local _, free = string.gsub(call('GETRANGE', MAP, first, last), '%.', '')
    return free >= n
  end

  if #call('ZRANGEBYSCORE', HOLDS, '-inf', ARGV[1], 'LIMIT', 0, 1) > 0 then
    local expire = library()
    if expire(BATCH) == BATCH then
      return {'again'}
    end
  end
  local whole, first = ARGV[10] ~= '', nil
  if whole and tonumber(ARGV[10]) - call('HLEN', TICKETS) < n then
    return {'sold_out'}
  end
  for i = 11, #ARGV, 4 do
    local width = tonumber(ARGV[i + 2])
    first, total = n <= width and find(tonumber(ARGV[i]), tonumber(ARGV[i + 1]), width), ARGV[i + 3]
    if first then
      break
    end
  end
  if not first then
    return {(whole or enough(ARGV[11], ARGV[12])) and 'not_adjacent' or 'sold_out'}
  end
  for i = 1, n do
    list[i] = first + i - 1
  end
  places = table.concat(list, ',')
end

-- Counts the seats as the user's, unless they would be too many.
local function over()
  if call('HINCRBY', USERS, user, ARGV[8]) <= tonumber(hall[2]) then
    return false
  end
  local _, _, _, count = library()
  count(user, -n)
  return true
end
if over() then -- perhaps with seats whose time is up
  local expire = library()
  if expire(BATCH) == BATCH then
    return {'again'}
  end
  if over() then
    return {'limit', hall[2]}
  end
end

local tickets, from = {}, 1
for i = 1, n do
  tickets[2 * i - 1], tickets[2 * i] = list[i], id
  if i == n or list[i + 1] - list[i] ~= 1 then -- neighbours go together
    call('SETRANGE', MAP, list[from], string.rep('h', i - from + 1))
    from = i + 1
  end
end
call('HSET', TICKETS, unpack(tickets))
local record = 'h ' .. user .. ' - - ' .. places .. ' ' .. total .. ' ' .. ARGV[1] .. ' ' .. expires .. ' ' .. ARGV[7]
call('HSET', RESERVATIONS, id, record)
call('ZADD', HOLDS, expires, id)
call('RPUSH', KEYS[7], ARGV[1] .. ' ' .. id .. ' ' .. places)
if key ~= '' then
  call('HSET', KEYS[10], key, ARGV[6] .. id .. ' ' .. record)
  if call('HLEN', KEYS[10]) == 1 then
    call('PEXPIRE', KEYS[10], 172800000) -- looked at today and tomorrow
  end
end
return {'reserved', id .. ' ' .. record}
