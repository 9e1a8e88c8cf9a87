-- Notes that the database has all messages up to an offset, lets go of those that are older than what is kept, and tells who waits.
-- KEYS: state, log
-- ARGV: the base of the log, the offset up to which it was so before, and now, how many messages are kept, the channel
-- Answers how many messages the database still lacks; -1: the log is not as the caller knows it.
local state = redis.call('HMGET', KEYS[1], 'base', 'stored', 'offset')
if state[1] ~= ARGV[1] or state[2] ~= ARGV[2] then
  return -1
end
redis.call('HSET', KEYS[1], 'stored', ARGV[3])
redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', math.max(tonumber(ARGV[3]) - tonumber(ARGV[4]), 0)))
redis.call('PUBLISH', ARGV[5], ARGV[1] .. ' ' .. ARGV[3])
return tonumber(state[3]) - tonumber(ARGV[3])
