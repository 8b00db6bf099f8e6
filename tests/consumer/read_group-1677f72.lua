-- The next entries for one worker of a consumer group, and whether the group has missed any before them: one step,
-- because between reading and noting the number another worker could read on.
--
-- KEYS: 1 events, 2 state of the group
-- ARGV: 1 group, 2 worker, 3 entries at most, 4 generation the worker knows or '', 5 highest number it has seen,
--       6 id after which a new group begins, 7 name for a new generation,
--       8 milliseconds one worker has for a reset before another may try
-- Returns {generation, last number, reset to do now or '', last id given to the group, entries}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = redis.call('HGET', KEYS[2], 'generation')
local last = tonumber(redis.call('HGET', KEYS[2], 'n') or nil)

local function missed()
  redis.call('HSET', KEYS[2], 'reset', redis.call('HINCRBY', KEYS[2], 'resets', 1))
  redis.call('HDEL', KEYS[2], 'lease')
end

local function read(call)
  return call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', ARGV[3], 'STREAMS', KEYS[1], '>')
end

local reply = read(redis.pcall)
if reply and reply.err then
  if not string.find(reply.err, 'NOGROUP', 1, true) then return reply end
  -- New, or lost with everything else: then nobody can know who was signed out, and all there is gets read.
  local lost = generation or ARGV[4] ~= ''
  local start = lost and '0-0' or ARGV[6]
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], start, 'MKSTREAM')
  redis.call('HDEL', KEYS[2], 'n')
  generation, last = ARGV[7], nil
  redis.call('HSET', KEYS[2], 'generation', generation)
  local before = redis.call('XREVRANGE', KEYS[1], start, '-', 'COUNT', 1)[1]
  if before then
    for index = 1, #before[2], 2 do
      if before[2][index] == 'n' then last = tonumber(before[2][index + 1]) end
    end
  end
  if lost then missed() end
  reply = read(redis.call)
elseif ARGV[4] ~= '' and (generation ~= ARGV[4] or (last or 0) < tonumber(ARGV[5])) then
  -- The group came back from an older copy of the data, or somebody made it anew.
  missed()
end
if not generation then
  generation = ARGV[7]
  redis.call('HSET', KEYS[2], 'generation', generation)
end

local entries = reply and reply[1][2] or {}
local gap = false
for _, entry in ipairs(entries) do
  local number = 0
  for index = 1, #entry[2], 2 do
    if entry[2][index] == 'n' then number = tonumber(entry[2][index + 1]) or 0 end
  end
  gap = gap or (last and number ~= last + 1)
  last = number
end
if gap then missed() end
if #entries > 0 then redis.call('HSET', KEYS[2], 'n', string.format('%.0f', last)) end

local reset = redis.call('HGET', KEYS[2], 'reset') or ''
if reset ~= '' then
  if tonumber(redis.call('HGET', KEYS[2], 'lease') or '0') > now then
    reset = ''
  else
    redis.call('HSET', KEYS[2], 'lease', string.format('%.0f', now + tonumber(ARGV[8])))
  end
end

local given = '0-0'
if #entries > 0 then
  given = entries[#entries][1]
else
  for _, info in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
    local fields = {}
    for index = 1, #info, 2 do fields[info[index]] = info[index + 1] end
    if fields['name'] == ARGV[1] then given = fields['last-delivered-id'] end
  end
end
return {generation, string.format('%.0f', last or 0), reset, given, entries}
