-- A worker stops: what it holds can be taken over at once, and its attempt does not count.
--
-- KEYS: 1 events
-- ARGV: 1 group, 2 worker, 3 milliseconds without a sign of life to pretend
-- Returns the number of entries left to others
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 10000, ARGV[2])
for _, entry in ipairs(pending) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, entry[1], 'IDLE', ARGV[3],
    'RETRYCOUNT', math.max(0, entry[4] - 1), 'JUSTID')
end
if #pending == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return #pending
