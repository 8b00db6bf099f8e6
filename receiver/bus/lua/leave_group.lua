-- A worker stops: what it holds can be taken over at once, and its attempt does not count. What was trimmed meanwhile
-- cannot be taken over, so it is missed.
--
-- KEYS: 1 events, 2 state of the group
-- ARGV: 1 group, 2 worker, 3 milliseconds without a sign of life to pretend, 4 entries looked at in one call, 5 where to
--       look from: '-' at first, then what the call before returned
-- Returns a position when there is more to look at, else nil

local held = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[5], '+', ARGV[4], ARGV[2])
local missed = false
for _, entry in ipairs(held) do
  if not is_trimmed(entry[1]) then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry[1], 'IDLE', ARGV[3],
      'RETRYCOUNT', math.max(0, entry[4] - 1), 'JUSTID')
  else
    redis.call('XACK', KEYS[1], ARGV[1], entry[1])
    missed = true
  end
end
-- As claim.lua: told once, when all are looked at.
if missed then redis.call('HSET', KEYS[2], 'trimmed', 1) end
if #held == tonumber(ARGV[4]) then return '(' .. held[#held][1] end
if redis.call('HDEL', KEYS[2], 'trimmed') == 1 then
  redis.call('HSET', KEYS[2], 'reset', redis.call('HINCRBY', KEYS[2], 'resets', 1))
end

redis.call('HDEL', KEYS[2], 'holds:' .. ARGV[2])
if #redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2]) == 0 then
  redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
end
return false
