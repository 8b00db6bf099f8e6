-- Take over one entry whose worker has died. One at a time: an entry that kills whoever takes it must not
-- count against the others that were handed out with it.
--
-- KEYS: 1 events, 2 state of the group
-- ARGV: 1 group, 2 worker, 3 milliseconds without a sign of life, 4 the same for workers that hold nothing
-- Returns {id, how often it was handed out, fields}, or nil when there is none
for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', 100)) do
  local id = pending[1]
  if #redis.call('XRANGE', KEYS[1], id, id) > 0 then
    local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id)[1]
    return {id, pending[4] + 1, entry[2]}
  end
  -- Handed out, never handled, and trimmed since: missed.
  redis.call('XACK', KEYS[1], ARGV[1], id)
  redis.call('HSET', KEYS[2], 'reset', redis.call('HINCRBY', KEYS[2], 'resets', 1))
  redis.call('HDEL', KEYS[2], 'lease')
end
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local fields = {}
  for index = 1, #info, 2 do fields[info[index]] = info[index + 1] end
  if fields['pending'] == 0 and fields['idle'] > tonumber(ARGV[4]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields['name'])
  end
end
return false
