-- The waiting room, for the scripts that let users in. Tokens are counted in thousandths, so that there are whole ones in every millisecond at every rate.
local TOKEN = 1000
local MOST = 500 -- who are let in by one script, so that none takes long

-- Lets in from the head of the line whom there are tokens for.
local function admit()
  local room = call('HMGET', HALL, 'rate', 'window', 'tokens', 'filled')
  local rate, window, tokens, filled = tonumber(room[1]), tonumber(room[2]), tonumber(room[3]), tonumber(room[4])
  if NOW > filled then -- the clocks of processes differ a little, and time does not go back
    tokens = math.min(tokens + (NOW - filled) * rate, rate * TOKEN)
    filled = NOW
  end
  call('ZREMRANGEBYSCORE', ADMITTED, '-inf', ARGV[1])
  local n = math.min(math.floor(tokens / TOKEN), MOST)
  local first = n > 0 and call('ZRANGE', WAITING, 0, n - 1) or {}
  if #first > 0 then
    local entries = {}
    for i = 1, #first do
      entries[2 * i - 1], entries[2 * i] = text(NOW + window), first[i]
    end
    call('ZADD', ADMITTED, unpack(entries))
    call('ZREMRANGEBYRANK', WAITING, 0, #first - 1)
    tokens = tokens - #first * TOKEN
  end
  call('HSET', HALL, 'tokens', text(tokens), 'filled', text(filled))
  return rate, window, tokens
end

-- Until when a user is in, or nil.
local function admitted(user)
  local untl = call('ZSCORE', ADMITTED, user)
  return untl and tonumber(untl) > NOW and tonumber(untl) or nil
end

-- Where a user stands in line: how many are ahead, and how many milliseconds until there are tokens for all of them and for the user.
local function place(user, rate, tokens)
  local ahead = call('ZRANK', WAITING, user)
  if not ahead then
    return nil
  end
  return ahead, math.max(math.ceil(((ahead + 1) * TOKEN - tokens) / rate), 0)
end

-- Lets a user in, or else gives the user a place in line and returns it.
local function enter(user)
  if admitted(user) then
    return nil
  end
  local rate, window, tokens = admit()
  if admitted(user) then
    return nil
  end
  if tokens >= TOKEN and call('ZCARD', WAITING) == 0 then
    call('ZADD', ADMITTED, text(NOW + window), user)
    call('HSET', HALL, 'tokens', text(tokens - TOKEN))
    return nil
  end
  if not call('ZSCORE', WAITING, user) then
    call('ZADD', WAITING, text(call('HINCRBY', HALL, 'arrivals', 1)), user)
  end
  return place(user, rate, tokens)
end
