-- Try what a worker of `receiver evict` writes, and leave nothing behind.
--
-- KEYS: 1 a removal, 2 a re-check, 3 a mark, 4 acknowledgements, of names that nothing else has; they are gone a second
--       later at most; 5 the stream
-- ARGV: 1 the group
-- An error where the user may not, or the server does not take it: a replica, a full memory, a full disk

-- First what lets things go, on a key that expires by itself.
redis.call('SET', KEYS[3], '', 'EX', 1)
redis.call('GET', KEYS[3])
redis.call('EXPIRE', KEYS[3], 1)
redis.call('UNLINK', KEYS[3])
redis.call('HSET', KEYS[1], 'again', '0')
redis.call('EXPIRE', KEYS[1], 1)
redis.call('HINCRBY', KEYS[1], 'again', '1')
redis.call('HGET', KEYS[1], 'again')
-- Without its last field a hash is gone, and so is a sorted set without its last member.
redis.call('HDEL', KEYS[1], 'again')
redis.call('ZADD', KEYS[2], '0', 'probe')
redis.call('EXPIRE', KEYS[2], 1)
redis.call('ZRANGE', KEYS[2], '0', '0')
redis.call('ZREM', KEYS[2], 'probe')
-- These cannot expire, as apps write them without that right; that they can be removed was tried above.
redis.call('HSETNX', KEYS[4], 'probe', '')
redis.call('UNLINK', KEYS[4])
-- No entry has this id.
redis.call('XACK', KEYS[5], ARGV[1], '0-0')
