-- Have something checked after some time.
--
-- KEYS: 1 rechecks, 2 what to check
-- ARGV: 1 name, 2 milliseconds until it is due or '' for never again, 3 what to check, 4 seconds to keep that
-- Returns 1
if ARGV[2] == '' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('UNLINK', KEYS[2])
  return 1
end
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[2])
redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
redis.call('ZADD', KEYS[1], string.format('%.0f', due), ARGV[1])
return 1
