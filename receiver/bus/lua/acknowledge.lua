-- Record which events an instance has acted on, and that it lives; on Redis's clock, so that no clocks are compared.
--
-- No XADD, SET or EXPIRE here: an app that may use them on these keys could forge or delete events, for the rights of
-- Redis 6.2 do not tell one key's commands from another's.
--
-- KEYS: 1 acks (its name begins those of the hashes), 2 instances, 3 instances since
-- ARGV: 1 app, 2 instance or '@' and the group, 3 worker, 4 milliseconds it has listened, 5 length of the list of
--       acks, then for each event: its id, milliseconds since it was handled, milliseconds when it was received,
--       milliseconds when it was published
-- Returns the number of events acknowledged for the first time
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
    -- A process that has just started reads a little history; that it does so late says nothing about the app.
    local late = not group and tonumber(ARGV[index + 3]) < began
    local after = string.format('%.0f', math.max(0, at - tonumber(ARGV[index + 2])))
    first[#first + 1] = table.concat({ARGV[index], late and 'late' or after, ARGV[3], ARGV[1]}, ' ')
  end
end
-- As many as Lua gives to one call.
for index = 1, #first, 1000 do
  redis.call('RPUSH', KEYS[1], unpack(first, index, math.min(index + 999, #first)))
end
if #first > 0 then redis.call('LTRIM', KEYS[1], -tonumber(ARGV[5]), -1) end
return #first
