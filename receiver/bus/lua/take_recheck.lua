-- Take the rechecks that are due longest; no other worker gets them until the lease is over.
--
-- KEYS: 1 rechecks
-- ARGV: 1 milliseconds of the lease, 2 prefix of the keys that say what to check, 3 how many to take at most, 4 bytes
--       after which no more are taken, 5 milliseconds after which the last one is due that was ordered now
-- Returns {milliseconds until the next one that was not taken, or -1, then name and what to check of each}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local left, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
-- Ordered before Redis's clock was set back: they would wait until it has caught up.
local far = string.format('(%.0f', now + tonumber(ARGV[5]))
local late = {}
for _, name in ipairs(redis.call('ZRANGE', KEYS[1], far, '+inf', 'BYSCORE', 'LIMIT', 0, ARGV[3])) do
  late[#late + 1] = string.format('%.0f', now)
  late[#late + 1] = name
end
if next(late) then redis.call('ZADD', KEYS[1], unpack(late)) end
local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[3], 'WITHSCORES')
local taken, leased, gone, pause = {}, {}, {}, -1
for index = 1, #found, 2 do
  local name, due = found[index], tonumber(found[index + 1])
  if due > now or left == 0 or bytes <= 0 then
    pause = math.max(0, due - now)
    break
  end
  left = left - 1
  local what = redis.call('GET', ARGV[2] .. ':' .. name)
  if what then
    bytes = bytes - #what
    taken[#taken + 1] = name
    taken[#taken + 1] = what
    leased[#leased + 1] = string.format('%.0f', now + tonumber(ARGV[1]))
    leased[#leased + 1] = name
  else
    gone[#gone + 1] = name
  end
end
if next(leased) then redis.call('ZADD', KEYS[1], unpack(leased)) end
if next(gone) then redis.call('ZREM', KEYS[1], unpack(gone)) end
return {pause, unpack(taken)}
