-- Makes the log anew.
-- KEYS: state, rooms, log, who is loading, the rooms that were prepared, idempotency keys of today and of yesterday
-- ARGV: the name of who is loading, how many rooms, the offset to begin after, the offset of the newest message before, the stamp, the time
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 'there'
end
if redis.call('GET', KEYS[4]) ~= ARGV[1] or redis.call('HLEN', KEYS[5]) ~= tonumber(ARGV[2]) then
  return 'late' -- what was read may be from before what another has put in place since, and has lost again
end
redis.call('DEL', KEYS[2], KEYS[3], KEYS[4], KEYS[6], KEYS[7])
if ARGV[2] ~= '0' then
  redis.call('RENAME', KEYS[5], KEYS[2])
  redis.call('PERSIST', KEYS[2])
end
redis.call('HSET', KEYS[1], 'base', ARGV[3], 'offset', ARGV[3], 'stored', ARGV[3], 'before', ARGV[4], 'stamp', ARGV[5], 'made', ARGV[6])
return 'loaded'
