-- Appends a batch of messages: all of it, or nothing.
-- KEYS: state, rooms, log, who appends, idempotency keys of today and of yesterday
-- ARGV: the batch's number, the clock, how many messages may wait for the database, the time, the payload, how many messages, how many rooms,
--   then for each room: its id, how many of the messages; then for each message with a key: the key, the hash of the request, its place in the batch, its room's
--   place among the rooms, its place in the room
-- Answers: appended and the head; used and, for each key that was used before, its place and what is known of it; or not_loaded, late, full.
local call = redis.call
local STATE, ROOMS, LOG, POSTER, TODAY, YESTERDAY = unpack(KEYS)

-- A number as it is to be read again: Lua's own way is to round what is long.
local function text(number)
  return string.format('%.0f', number)
end

local state = call('HMGET', STATE, 'base', 'offset', 'stored', 'stamp')
if not state[1] then
  return {'not_loaded'}
end

-- A request to Redis is repeated when its answer was lost: then the answer is given again.
local before = call('GET', POSTER)
if before then
  local number, head = string.match(before, '^(%d+) (.*)$')
  if number == ARGV[1] then
    return {'appended', head}
  elseif tonumber(number) > tonumber(ARGV[1]) then
    return {'late'}
  end
end

local count, rooms = tonumber(ARGV[6]), tonumber(ARGV[7])
local keyed, used = 8 + 2 * rooms, {'used'}
for i = keyed, #ARGV, 5 do
  local known = call('HGET', TODAY, ARGV[i]) or call('HGET', YESTERDAY, ARGV[i])
  if known then
    used[#used + 1] = ARGV[i + 2]
    used[#used + 1] = known
  end
end
if #used > 1 then
  return used
end

local offset, stamp = tonumber(state[2]), math.max(tonumber(state[4]), tonumber(ARGV[2]))
if offset + count - tonumber(state[3]) > tonumber(ARGV[3]) then
  return {'full'}
end

local sequences = {}
for i = 1, rooms do
  local n = tonumber(ARGV[7 + 2 * i])
  sequences[i] = call('HINCRBY', ROOMS, ARGV[6 + 2 * i], n) - n + 1
end
local head = state[1] .. ' ' .. text(offset + 1) .. ' ' .. text(stamp + 1)
for i = 1, rooms do
  head = head .. ' ' .. text(sequences[i])
end
call('XADD', LOG, text(offset + count) .. '-0', 'b', head .. '\n' .. ARGV[5])
call('HSET', STATE, 'offset', text(offset + count), 'stamp', text(stamp + count))
call('SET', POSTER, ARGV[1] .. ' ' .. head, 'EX', 600)
for i = keyed, #ARGV, 5 do
  local place = tonumber(ARGV[i + 2])
  local sequence = sequences[tonumber(ARGV[i + 3]) + 1] + tonumber(ARGV[i + 4])
  call('HSET', TODAY, ARGV[i], ARGV[i + 1] .. state[1] .. ' ' .. text(offset + 1 + place) .. ' ' .. text(stamp + 1 + place) .. ' ' .. text(sequence) .. ' ' .. ARGV[4])
end
if keyed <= #ARGV then
  call('EXPIRE', TODAY, 3 * 86400)
end
return {'appended', head}
