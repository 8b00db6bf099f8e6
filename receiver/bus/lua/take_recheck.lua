-- Take the recheck that is due longest; nobody else gets it until the lease is over.
--
-- KEYS: 1 rechecks
-- ARGV: 1 milliseconds of the lease, 2 prefix of the keys that say what to check
-- Returns {name, what to check} or, when none is due, {milliseconds until the next one or -1}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
while true do
  local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
  if #first == 0 then return {-1} end
  local due = tonumber(first[2])
  if due > now then return {due - now} end
  local what = redis.call('GET', ARGV[2] .. ':' .. first[1])
  if what then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[1])), first[1])
    return {first[1], what}
  end
  redis.call('ZREM', KEYS[1], first[1])
end
