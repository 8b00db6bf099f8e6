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
local call, format = redis.call, string.format
local time = call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = now - ARGV[4]
local member = ARGV[1] .. '/' .. ARGV[2]
local group = string.sub(ARGV[2], 1, 1) == '@'
local acks, by = KEYS[1] .. ':', ' ' .. ARGV[3] .. ' ' .. ARGV[1]

call('ZADD', KEYS[2], format('%.0f', now), member)
call('ZADD', KEYS[3], 'NX', format('%.0f', began), member)

local first = {}
for index = 6, #ARGV, 4 do
  local id, at = ARGV[index], now - ARGV[index + 1]
  if call('HSETNX', acks .. id, member, format('%.0f', at)) == 1 then
    -- A process that has just started reads a little history; that it does so late says nothing about the app.
    local late = not group and ARGV[index + 3] - began < 0
    local after = late and 'late' or format('%.0f', math.max(0, at - ARGV[index + 2]))
    first[#first + 1] = id .. ' ' .. after .. by
  end
end
local length = 0
-- As many as Lua gives to one call.
for index = 1, #first, 1000 do
  length = call('RPUSH', KEYS[1], unpack(first, index, math.min(index + 999, #first)))
end
if length > tonumber(ARGV[5]) then call('LTRIM', KEYS[1], -ARGV[5], -1) end
return #first
