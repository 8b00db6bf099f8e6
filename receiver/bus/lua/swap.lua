-- Replace or delete a value, unless it has changed since it was read: compare-and-set, keeping its lifetime.
--
-- KEYS: 1 the value
-- ARGV: 1 hash field or '' for a string, 2 SHA-1 (hex) of what was read, 3 the new value or '' to delete the key
-- Returns 1 when done or when there is nothing any more, 0 when another writer was first
local field = ARGV[1]
local value
if field == '' then value = redis.call('GET', KEYS[1]) else value = redis.call('HGET', KEYS[1], field) end
if not value then return 1 end
if redis.sha1hex(value) ~= ARGV[2] then return 0 end
if ARGV[3] == '' then
  redis.call('UNLINK', KEYS[1])
elseif field == '' then
  redis.call('SET', KEYS[1], ARGV[3], 'KEEPTTL')
else
  redis.call('HSET', KEYS[1], field, ARGV[3])
end
return 1
