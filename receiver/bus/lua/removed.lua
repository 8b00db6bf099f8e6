-- Remember that something was removed: what was in flight may write it back, and that may not go on for ever.
--
-- KEYS: the places, by their digests
-- ARGV: 1 logout_at, 2 seconds to remember, 3 until when something in flight may write it back, in seconds,
--       4 'again' when it was removed because it had come back, else '',
--       5 'unsure' when nothing proved that it was the old one, else '', then digests of the sessions found there
-- Returns 1
for _, key in ipairs(KEYS) do
  local before = tonumber(redis.call('HGET', key, 'at') or '-1') or -1
  local further = tonumber(ARGV[1]) > before
  if further then redis.call('HSET', key, 'at', ARGV[1]) end
  for index = 6, #ARGV do redis.call('HSET', key, 'sid ' .. ARGV[index], '') end
  if ARGV[4] ~= '' then
    redis.call('HINCRBY', key, 'again', 1)
    if ARGV[5] ~= '' then redis.call('HINCRBY', key, 'unsure', 1) end
  else
    redis.call('HSET', key, 'until', ARGV[3])
    -- A further logout: the tries are for what it ended.
    if further then redis.call('HDEL', key, 'again', 'unsure') end
  end
  redis.call('EXPIRE', key, ARGV[2])
end
return 1
