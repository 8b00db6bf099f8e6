-- Date marks, never back.
--
-- KEYS: the marks
-- ARGV: 1 logout_at in seconds, 2 seconds to keep them
-- Returns 1
-- As core/numeric_date.py: what is no date says nothing.
local function date_of(text)
  return text and #text <= 12 and string.match(text, '^%d+$') and tonumber(text) or nil
end

for _, key in ipairs(KEYS) do
  local before = date_of(redis.call('GET', key)) or -1
  redis.call('SET', key, string.format('%d', math.max(before, tonumber(ARGV[1]))), 'EX', ARGV[2])
end
return 1
