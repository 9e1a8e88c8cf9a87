-- Takes out what the database has.
-- ARGV: now, epoch, number of the last mark, that mark, then for each reservation that need not be kept: its id, its record
local hall = call('HMGET', HALL, 'epoch', 'synced')
if hall[1] ~= ARGV[2] then
  return 0 -- these are other marks
end
-- Another process may have taken out some of them; what came after is to stay. A Redis that has lost its latest writes may have another mark of that number.
local n = tonumber(ARGV[3]) - tonumber(hall[2])
if n > 0 and call('LINDEX', UNSYNCED, n - 1) == ARGV[4] then
  call('LTRIM', UNSYNCED, n, -1)
  call('HINCRBY', HALL, 'synced', n)
end
for i = 5, #ARGV, 2 do
  if call('HGET', RESERVATIONS, ARGV[i]) == ARGV[i + 1] then
    call('HDEL', RESERVATIONS, ARGV[i])
  end
end
return n
