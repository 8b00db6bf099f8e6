-- A reset was carried out; one that became due meanwhile stays due.
--
-- KEYS: 1 state of the group
-- ARGV: 1 the reset
if redis.call('HGET', KEYS[1], 'reset') == ARGV[1] then redis.call('HDEL', KEYS[1], 'reset') end
redis.call('HDEL', KEYS[1], 'lease')
