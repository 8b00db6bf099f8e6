-- Take the rechecks that are due longest; no other worker gets them until the lease is over.
--
-- KEYS: 1 rechecks
-- ARGV: 1 milliseconds of the lease, 2 prefix of the keys that say what to check, 3 how many to take at most
-- Returns {milliseconds until the next one that was not taken, or -1, then name and what to check of each}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[3], 'WITHSCORES')
local taken, leased, names, keys, pause = {}, {}, {}, {}, -1
for index = 1, #found, 2 do
  local due = tonumber(found[index + 1])
  if due > now or #names == tonumber(ARGV[3]) then
    pause = math.max(0, due - now)
    break
  end
  names[#names + 1] = found[index]
  keys[#keys + 1] = ARGV[2] .. ':' .. found[index]
end
if #names == 0 then return {pause} end
local gone = {}
for index, what in ipairs(redis.call('MGET', unpack(keys))) do
  if what then
    taken[#taken + 1] = names[index]
    taken[#taken + 1] = what
    leased[#leased + 1] = string.format('%.0f', now + tonumber(ARGV[1]))
    leased[#leased + 1] = names[index]
  else
    gone[#gone + 1] = names[index]
  end
end
if #leased > 0 then redis.call('ZADD', KEYS[1], unpack(leased)) end
if #gone > 0 then redis.call('ZREM', KEYS[1], unpack(gone)) end
return {pause, unpack(taken)}
