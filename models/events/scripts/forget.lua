-- Drops an event, if nothing is held and the database has heard of everything.
if call('EXISTS', RESERVATIONS) == 1 or call('EXISTS', UNSYNCED) == 1 then
  return 0
end
call('DEL', unpack(KEYS))
return 1
