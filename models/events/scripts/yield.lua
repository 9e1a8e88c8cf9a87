-- Lets the next load the event.
-- KEYS: as always, then who is loading
-- ARGV: now, the name of who was
if call('GET', KEYS[10]) == ARGV[2] then
  call('DEL', KEYS[10])
end
return 0
