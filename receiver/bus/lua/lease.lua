-- Hold a lease, or go on holding it.
--
-- KEYS: 1 the lease
-- ARGV: 1 who wants it, 2 milliseconds it holds, or '' to give it up
-- Returns 1 when it is held by that one now, else 0
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  -- Redis's clock was set back: one that has died would hold it until the clock has caught up.
  if ARGV[2] ~= '' and redis.call('TTL', KEYS[1]) > tonumber(ARGV[2]) / 1000 + 1 then
    redis.call('SET', KEYS[1], holder, 'PX', ARGV[2])
  end
  return 0
end
if ARGV[2] == '' then
  redis.call('UNLINK', KEYS[1])
  return 0
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
