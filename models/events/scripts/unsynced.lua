-- Reads the first marks, and what they are about as it is now.
-- ARGV: now, limit
local hall = call('HMGET', HALL, 'epoch', 'synced')
if not hall[1] then
  return {}
end
local marks = call('LRANGE', UNSYNCED, 0, ARGV[2] - 1)
local ids, places, seen = {}, {}, {}
for i = 1, #marks do
  local id, list = string.match(marks[i], '^%d+ (%S+) (%S+)$')
  if not seen[id] then
    seen[id] = true
    ids[#ids + 1] = id
  end
  for place in string.gmatch(list, '%d+') do
    if not seen[place] then
      seen[place] = true
      places[#places + 1] = place
    end
  end
end
local reservations = {}
if #ids > 0 then
  local records = call('HMGET', RESERVATIONS, unpack(ids))
  for i = 1, #ids do
    reservations[2 * i - 1], reservations[2 * i] = ids[i], records[i] or ''
  end
end
local chars = {}
if #places > 50 then -- the whole map costs less than so many looks at it
  local map = call('GET', MAP)
  for i = 1, #places do
    local place = tonumber(places[i]) + 1
    chars[i] = string.sub(map, place, place)
  end
else
  for i = 1, #places do
    chars[i] = call('GETRANGE', MAP, places[i], places[i])
  end
end
return {hall[1], hall[2], call('LLEN', UNSYNCED), marks, reservations, table.concat(places, ','), table.concat(chars)}
