-- Have things checked after some time.
--
-- KEYS: 1 rechecks, then what each is to check
-- ARGV: 1 seconds to keep what is to be checked, then for each: its name, milliseconds until it is due or '' for never
--       again, what to check
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due, over, gone = {}, {}, {}
for index = 2, #KEYS do
  local at = 3 * index - 4
  if ARGV[at + 1] == '' then
    over[#over + 1] = ARGV[at]
    gone[#gone + 1] = KEYS[index]
  else
    redis.call('SET', KEYS[index], ARGV[at + 2], 'EX', ARGV[1])
    due[#due + 1] = string.format('%.0f', now + tonumber(ARGV[at + 1]))
    due[#due + 1] = ARGV[at]
  end
end
if next(due) then redis.call('ZADD', KEYS[1], unpack(due)) end
if next(over) then
  redis.call('ZREM', KEYS[1], unpack(over))
  redis.call('UNLINK', unpack(gone))
end
