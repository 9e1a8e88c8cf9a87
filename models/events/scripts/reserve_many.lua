-- Holds seats for many at once, as reserve.lua would one after the other: what all of them need is read once, and what they have come to is written once.
-- Whatever is out of the ordinary is left for that script: a waiting room, a user at the limit, a reservation that is there already, a hold past its time in the way;
-- and so is the search for the best seats, if there may be any.
-- ARGV: now, then for each: reservation, user, expires, the record and the mark that it gets, how many seats are named, and their places; or, if none are, how many are
--   wanted, and how many the hall has
local hall = call('HMGET', HALL, 'starts_at', 'max_per_user', 'rate')
if not hall[1] then
  return {'not_loaded'}
end
if hall[3] ~= '0' then
  return {'alone'}
end
local starts, most = tonumber(hall[1]), tonumber(hall[2])

local wants, ids, users, places, best = {}, {}, {}, {}, false
local at = 2
while at <= #ARGV do
  local n = tonumber(ARGV[at + 5])
  wants[#wants + 1], ids[#ids + 1], users[#users + 1] = at, ARGV[at], ARGV[at + 1]
  if n == 0 then
    best, at = true, at + 2
  end
  for i = at + 6, at + 5 + n do
    places[#places + 1] = ARGV[i]
  end
  at = at + 6 + n
end
local owners, counts = #places > 0 and call('HMGET', TICKETS, unpack(places)), call('HMGET', USERS, unpack(users))

-- Which of those in the way are past their time.
local asked, inTheWay, ended = {}, {}, {}
for i = 1, #places do
  local owner = owners[i]
  if owner and not asked[owner] then
    asked[owner], inTheWay[#inTheWay + 1] = true, owner
  end
end
if #inTheWay > 0 then
  local scores = call('ZMSCORE', HOLDS, unpack(inTheWay))
  for i = 1, #inTheWay do
    ended[inTheWay[i]] = scores[i] and tonumber(scores[i]) <= NOW
  end
end

-- How many seats are taken, if none of them by a hold that is past its time.
local occupied = best and #call('ZRANGEBYSCORE', HOLDS, '-inf', ARGV[1], 'LIMIT', 0, 1) == 0 and call('HLEN', TICKETS)

local answers, have, took, fresh = {}, {}, {}, {}
local tickets, records, holds, marks, named = {}, {}, {}, {}, {}
local first = 0 -- of the places before this want's
for w = 1, #wants do
  local from, id, user = wants[w], ids[w], users[w]
  local n, taken, answer = tonumber(ARGV[from + 5]), {}, ''
  local count = have[user] or tonumber(counts[w] or '0')
  for i = 1, n do
    local owner = owners[first + i]
    if owner == id then -- it is there already
      answer = 'alone'
    elseif took[places[first + i]] or (owner and not ended[owner]) then
      taken[#taken + 1] = i - 1
    elseif owner then
      answer = 'alone'
    end
  end
  if fresh[id] or tonumber(ARGV[from + 2]) > starts or NOW >= starts then
    answer = 'alone'
  elseif n == 0 then
    answer = occupied and tonumber(ARGV[from + 7]) - occupied - #tickets / 2 < tonumber(ARGV[from + 6]) and 'sold_out' or 'alone'
  elseif count + n > most then
    answer = 'alone'
  elseif answer == '' and #taken > 0 then
    answer = 'taken ' .. table.concat(taken, ',')
  end
  if answer == '' then
    for i = first + 1, first + n do
      took[places[i]] = true
      tickets[#tickets + 1], tickets[#tickets + 2] = places[i], id
    end
    if n == 1 then
      call('SETRANGE', MAP, places[first + 1], 'h')
    else
      local run = {}
      for i = 1, n do
        run[i] = tonumber(places[first + i])
      end
      table.sort(run)
      paint(run, 'h')
    end
    have[user], fresh[id] = count + n, true
    records[#records + 1], records[#records + 2] = id, ARGV[from + 3]
    holds[#holds + 1], holds[#holds + 2] = ARGV[from + 2], id
    marks[#marks + 1] = ARGV[from + 4]
  end
  answers[w] = answer
  first = first + n
end
if #marks > 0 then
  call('HSET', TICKETS, unpack(tickets))
  call('HSET', RESERVATIONS, unpack(records))
  call('ZADD', HOLDS, unpack(holds))
  for user, count in pairs(have) do
    named[#named + 1], named[#named + 2] = user, count
  end
  call('HSET', USERS, unpack(named))
  call('RPUSH', UNSYNCED, unpack(marks))
end
return answers
