-- Date marks, never back.
--
-- KEYS: the marks
-- ARGV: 1 the mark as core/marks.py says, 2 seconds after its date to keep it, 3 now in seconds
-- Returns 1
local value = tonumber(ARGV[1])
for _, key in ipairs(KEYS) do
  local before = redis.call('GET', key) or ''
  local text = date_of(before) and tonumber(before) >= value and before or ARGV[1]
  -- As publish.lua keeps them.
  local age_s = math.max(tonumber(ARGV[3]) - tonumber(text), 0)
  redis.call('SET', key, text, 'EX', math.ceil(math.max(tonumber(ARGV[2]) - age_s, math.min(tonumber(ARGV[2]), 3600))))
end
return 1
