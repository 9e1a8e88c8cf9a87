-- Puts what was prepared under other keys in place.
-- KEYS: as always, then who is loading, then what was prepared: map, tickets, reservations, holds, users, unsynced
-- ARGV: now, the name of who is loading, the sizes of what was prepared, then the fields of the hall and their values
local LOADING = KEYS[10]
if call('EXISTS', HALL) == 1 then
  return 'there'
end
if call('GET', LOADING) ~= ARGV[2] then
  return 'late' -- what was read may be from before what another has put in place since, and has lost again
end
local sizes = {'STRLEN', 'HLEN', 'HLEN', 'ZCARD', 'HLEN', 'LLEN'}
for i = 1, 6 do
  if call(sizes[i], KEYS[10 + i]) ~= tonumber(ARGV[2 + i]) then
    return 'late' -- some of it is gone again
  end
end
for i = 2, 9 do
  call('DEL', KEYS[i])
end
for i = 1, 6 do
  if ARGV[2 + i] ~= '0' then
    call('RENAME', KEYS[10 + i], KEYS[1 + i])
    call('PERSIST', KEYS[1 + i])
  end
end
call('HSET', HALL, unpack(ARGV, 9))
call('DEL', LOADING)
return 'loaded'
