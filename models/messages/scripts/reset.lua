-- Gives up a log that does not go on from what the database has. The next to need it makes it anew.
-- KEYS: state. ARGV: the base of the log that is meant
if redis.call('HGET', KEYS[1], 'base') == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return 1
