-- A worker stops: what it holds can be taken over at once, and its attempt does not count. What was trimmed meanwhile
-- cannot be taken over, so it is missed.
--
-- KEYS: 1 events, 2 state of the group
-- ARGV: 1 group, 2 worker, 3 milliseconds without a sign of life to pretend
-- Returns the number of entries left to others
local left, missed, from = 0, false, '-'
while true do
  local held = redis.call('XPENDING', KEYS[1], ARGV[1], from, '+', 1000, ARGV[2])
  for _, entry in ipairs(held) do
    if #redis.call('XRANGE', KEYS[1], entry[1], entry[1]) > 0 then
      redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry[1], 'IDLE', ARGV[3],
        'RETRYCOUNT', math.max(0, entry[4] - 1), 'JUSTID')
      left = left + 1
    else
      redis.call('XACK', KEYS[1], ARGV[1], entry[1])
      missed = true
    end
  end
  if #held < 1000 then break end
  from = '(' .. held[#held][1]
end
if missed then redis.call('HSET', KEYS[2], 'reset', redis.call('HINCRBY', KEYS[2], 'resets', 1)) end
redis.call('HDEL', KEYS[2], 'holds:' .. ARGV[2])
if left == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return left
