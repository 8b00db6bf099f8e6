-- Date marks, never back.
--
-- KEYS: the marks
-- ARGV: 1 logout_at in seconds, 2 seconds to keep them
-- Returns 1
for _, key in ipairs(KEYS) do
  local before = tonumber(redis.call('GET', key) or '-1') or -1
  redis.call('SET', key, string.format('%d', math.max(before, tonumber(ARGV[1]))), 'EX', ARGV[2])
end
return 1
