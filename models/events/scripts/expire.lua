-- Ends holds that are past their time, and lets in who waits.
-- ARGV: now, limit
local rate = call('HGET', HALL, 'rate')
if not rate then
  return {0, 0}
end
local limit = tonumber(ARGV[2])
local n = expire(limit)
local more = n == limit
if rate ~= '0' then
  local _, _, tokens = admit()
  more = more or (tokens >= TOKEN and call('ZCARD', WAITING) > 0)
end
return {n, more and 1 or 0}
