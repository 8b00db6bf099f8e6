-- The next entries for one worker of a consumer group, and whether the group has missed any before them: one step,
-- because between reading and noting the number another worker could read on.
--
-- KEYS: 1 events, 2 state of the group
-- ARGV: 1 group, 2 worker, 3 entries at most, 4 generation the worker knows or '', 5 highest number it has seen,
--       6 a position: a new group begins behind the last entry up to there, 7 name for a new generation,
--       8 milliseconds one worker has for a reset before another may try, 9 name of the sequence: not among the keys,
--       because a user without the right to it may read all the same, 10 bytes after which no more are read
-- The state holds `n`, the last number given, and `unnumbered`, how many entries without a readable number came after
-- it, as '<n> <how many>': other versions write `n` alone, and then the rest counts no more. `lost` is the generation
-- that is told to have ended.
-- Returns {generation, last number, reset to do now or '', last id given to the group, entries}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local generation = redis.call('HGET', KEYS[2], 'generation')

-- As core/cursor.py reads and counts.
local function number_of(text)
  return text and #text <= 15 and string.match(text, '^[1-9]%d*$') and tonumber(text) or nil
end

local noted = redis.call('HGET', KEYS[2], 'n')
local last, unnumbered = noted == '0' and 0 or number_of(noted), 0
if last then
  local of, count = string.match(redis.call('HGET', KEYS[2], 'unnumbered') or '', '^(%d+) (%d+)$')
  if of == noted then unnumbered = tonumber(count) end
end

local function number_in(entry)
  local text
  for index = 1, #entry[2], 2 do
    if entry[2][index] == 'n' then text = entry[2][index + 1] end
  end
  return number_of(text)
end

-- Notes an entry; true when those before it are missing.
local function passed(entry)
  local number = number_in(entry)
  if not number then
    unnumbered = unnumbered + 1
    return false
  end
  local follows = not last or last < number and number <= last + 1 + unnumbered
  last, unnumbered = number, 0
  return not follows
end

-- Number of the entry before the first one there is; nil when it cannot be told.
local function number_before_all()
  local first = redis.call('XREAD', 'COUNT', 100, 'STREAMS', KEYS[1], '0-0')
  for _, entry in ipairs(first and first[1][2] or {}) do
    local number = number_in(entry)
    if number then return number - 1 end
  end
  if first then return nil end
  local sequence = redis.pcall('GET', ARGV[9])
  if type(sequence) == 'table' then return nil end
  return (not sequence or sequence == '0') and 0 or number_of(sequence)
end

local function missed()
  if not tonumber(redis.call('HGET', KEYS[2], 'resets') or '0') then redis.call('HDEL', KEYS[2], 'resets') end
  redis.call('HSET', KEYS[2], 'reset', redis.call('HINCRBY', KEYS[2], 'resets', 1))
  redis.call('HDEL', KEYS[2], 'lease')
end

local function note()
  if not last then return end
  redis.call('HSET', KEYS[2], 'n', string.format('%.0f', last))
  if unnumbered > 0 then
    redis.call('HSET', KEYS[2], 'unnumbered', string.format('%.0f %.0f', last, unnumbered))
  end
end

-- A few at a time: large ones would keep others waiting, and their size shows only when they are there.
local PAGE = 8
local entries, bytes = {}, 0

local function read(call)
  local count = math.min(PAGE, tonumber(ARGV[3]) - #entries)
  return call('XREADGROUP', 'GROUP', ARGV[1], ARGV[2], 'COUNT', count, 'STREAMS', KEYS[1], '>')
end

local reply = read(redis.pcall)
if reply and reply.err then
  if not string.find(reply.err, 'NOGROUP', 1, true) then return reply end
  -- New, or lost with everything else: then it is unknown who was signed out, and all there is gets read.
  local lost = generation or ARGV[4] ~= ''
  local before = lost and {} or redis.call('XREVRANGE', KEYS[1], ARGV[6], '-', 'COUNT', 100)
  -- At an entry's id and not at a time: a clock that steps back must not make the group deaf.
  redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[1], before[1] and before[1][1] or '0-0', 'MKSTREAM')
  redis.call('HDEL', KEYS[2], 'n')
  generation, last, unnumbered = ARGV[7], nil, 0
  redis.call('HSET', KEYS[2], 'generation', generation)
  if #before > 0 then
    for index = #before, 1, -1 do passed(before[index]) end
  else
    last = number_before_all()
  end
  note()
  if lost then missed() end
  if ARGV[4] ~= '' then redis.call('HSET', KEYS[2], 'lost', ARGV[4]) end
  reply = read(redis.call)
elseif ARGV[4] ~= '' and generation ~= ARGV[4] then
  -- Something else made the group anew. Where a worker like this one has told of that, once is enough.
  if redis.call('HGET', KEYS[2], 'lost') ~= ARGV[4] then missed() end
elseif ARGV[4] ~= '' and (last or 0) < tonumber(ARGV[5]) then
  -- The group came back from an older copy of the data: from now on it is another one.
  missed()
  generation = ARGV[7]
  redis.call('HSET', KEYS[2], 'generation', generation, 'lost', ARGV[4])
end
if not generation then
  generation = ARGV[7]
  redis.call('HSET', KEYS[2], 'generation', generation)
end

while reply do
  local page = reply[1][2]
  for _, entry in ipairs(page) do
    entries[#entries + 1] = entry
    for _, text in ipairs(entry[2]) do bytes = bytes + #text end
  end
  local is_more = #page == PAGE and #entries < tonumber(ARGV[3]) and bytes < tonumber(ARGV[10])
  reply = is_more and read(redis.call)
end
local gap = false
for _, entry in ipairs(entries) do
  if passed(entry) then gap = true end
end
if gap then missed() end
if #entries > 0 then note() end

local reset = redis.call('HGET', KEYS[2], 'reset') or ''
if reset ~= '' then
  local leased = tonumber(redis.call('HGET', KEYS[2], 'lease') or '0') or 0
  -- One that ends later than any can was noted before Redis's clock was set back.
  if leased > now and leased <= now + tonumber(ARGV[8]) then
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
