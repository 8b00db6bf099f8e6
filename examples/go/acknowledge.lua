local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = now - tonumber(ARGV[4])
local member = ARGV[1] .. '/' .. ARGV[2]
local group = string.sub(ARGV[2], 1, 1) == '@'
redis.call('ZADD', KEYS[2], string.format('%.0f', now), member)
redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', began), member)
local first = {}
for index = 6, #ARGV, 4 do
  local at = now - tonumber(ARGV[index + 1])
  if redis.call('HSETNX', KEYS[1] .. ':' .. ARGV[index], member, string.format('%.0f', at)) == 1 then
    local late = not group and tonumber(ARGV[index + 3]) < began
    local after = string.format('%.0f', math.max(0, at - tonumber(ARGV[index + 2])))
    first[#first + 1] = table.concat({ARGV[index], late and 'late' or after, ARGV[3], ARGV[1]}, ' ')
  end
end
for index = 1, #first, 1000 do
  redis.call('RPUSH', KEYS[1], unpack(first, index, math.min(index + 999, #first)))
end
if #first > 0 then redis.call('LTRIM', KEYS[1], -tonumber(ARGV[5]), -1) end
return #first
