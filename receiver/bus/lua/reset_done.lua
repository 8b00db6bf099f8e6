-- A reset was carried out; one that became due meanwhile stays due.
--
-- KEYS: 1 state of the group
-- ARGV: 1 the reset
-- Returns 1 when none is due any more
if redis.call('HGET', KEYS[1], 'reset') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'reset', 'lease')
  return 1
end
redis.call('HDEL', KEYS[1], 'lease')
return 0
