-- Gives up a log that does not go on from what the database has. The next to need it makes it anew.
-- KEYS: state. ARGV: the base of the log that is meant, and how far the table had followed it as it knew: somebody else may have gone on meanwhile
if redis.call('HGET', KEYS[1], 'base') == ARGV[1] and redis.call('HGET', KEYS[1], 'stored') == ARGV[2] then
  redis.call('DEL', KEYS[1])
end
return 1
