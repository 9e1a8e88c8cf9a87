-- Ends the turn of who is loading, if it is theirs still.
-- KEYS: who is loading. ARGV: the name of who it may be
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
