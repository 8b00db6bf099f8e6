-- Record which events an instance has acted on, and that it lives; on Redis's clock, so that no clocks are compared.
--
-- KEYS: 1 acks (its name begins those of the hashes), 2 instances, 3 instances since
-- ARGV: 1 app, 2 instance or '@' and the group, 3 worker, 4 milliseconds it has listened, 5 seconds to keep acks,
--       6 length of the acks stream, then for each event: its id, milliseconds since it was handled,
--       milliseconds when it was received, milliseconds when it was published
-- Returns the number of events acknowledged for the first time
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local began = now - tonumber(ARGV[4])
local member = ARGV[1] .. '/' .. ARGV[2]
local group = string.sub(ARGV[2], 1, 1) == '@'

redis.call('ZADD', KEYS[2], string.format('%.0f', now), member)
redis.call('ZADD', KEYS[3], 'NX', string.format('%.0f', began), member)

local first = 0
for index = 7, #ARGV, 4 do
  local at = now - tonumber(ARGV[index + 1])
  local key = KEYS[1] .. ':' .. ARGV[index]
  if redis.call('HSETNX', key, member, string.format('%.0f', at)) == 1 then
    first = first + 1
    redis.call('EXPIRE', key, ARGV[5])
    -- A process that has just started reads a little history; that it does so late says nothing about the app.
    if group or tonumber(ARGV[index + 3]) >= began then
      redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[6], '*', 'app', ARGV[1], 'instance', ARGV[3],
        'event', ARGV[index], 'after_ms', string.format('%.0f', math.max(0, at - tonumber(ARGV[index + 2]))))
    end
  end
end
return first
