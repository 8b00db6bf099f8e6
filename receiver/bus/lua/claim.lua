-- Take over one entry of a worker that has died. One at a time: an entry that kills its workers must not
-- count against the others that were handed out with it.
--
-- An entry that was trimmed while a worker held it is in no stream, and from Redis 7 on XCLAIM forgets it. While that
-- worker lives it has the entry in memory and handles it; keep.lua notes that. When the worker is dead such entries are
-- missed: all that there are cause one reset.
--
-- An entry that was handed out before Redis's clock was set back has been idle for 0 ms until the clock has caught up. So
-- what has been idle for 0 ms counts as handed out now, in the same hands; and a sign of life that is still to come, too.
-- For one that was trimmed, and cannot be claimed, a sign of life of its worker is noted once, and only that counts.
--
-- KEYS: 1 events, 2 state of the group
-- ARGV: 1 group, 2 worker, 3 milliseconds without a sign of life, 4 the same for workers that hold nothing, 5 entries
--       looked at in one call, 6 where to look from: '-' at first, then what the call before returned
-- The state notes `trimmed` from the first such entry until all are looked at.
-- Returns {id, how often it was handed out, fields}, a position when there is more to look at, or nil when there is none
local first = redis.call('XREAD', 'COUNT', 1, 'STREAMS', KEYS[1], '0-0')
first = first and first[1][2][1][1]

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local dead = {}
local function is_dead(worker)
  if dead[worker] == nil then
    local noted = tonumber(redis.call('HGET', KEYS[2], 'holds:' .. worker) or '')
    if noted and noted > now then
      noted = now
      redis.call('HSET', KEYS[2], 'holds:' .. worker, string.format('%.0f', now))
    end
    dead[worker] = not noted or now - noted >= tonumber(ARGV[3])
  end
  return dead[worker]
end

local given_up = {}
local function give_up_if_dead(pending)
  local id, worker, idle = unpack(pending)
  if idle == 0 and redis.call('HSETNX', KEYS[2], 'holds:' .. worker, string.format('%.0f', now)) == 1 then
    dead[worker] = false
  end
  if (idle == 0 or idle >= tonumber(ARGV[3])) and is_dead(worker) then given_up[#given_up + 1] = id end
end
local at_once = tonumber(ARGV[5])
local trimmed = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[6], first and '(' .. first or '+', at_once)
for _, pending in ipairs(trimmed) do give_up_if_dead(pending) end
if #trimmed == at_once then
  if #given_up > 0 then
    -- Noted first: a worker that dies now leaves it to the next one to tell.
    redis.call('HSET', KEYS[2], 'trimmed', 1)
    redis.call('XACK', KEYS[1], ARGV[1], unpack(given_up))
  end
  return '(' .. trimmed[#trimmed][1]
end

local taken = false
if first then
  for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], first, '+', 100)) do
    local id = pending[1]
    if pending[3] == 0 then
      if #redis.call('XRANGE', KEYS[1], id, id) > 0 then
        redis.call('XCLAIM', KEYS[1], ARGV[1], pending[2], 0, id, 'JUSTID')
      else
        give_up_if_dead(pending)
      end
    end
  end
  for _, pending in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], first, '+', 100)) do
    local id = pending[1]
    if #redis.call('XRANGE', KEYS[1], id, id) > 0 then
      local entry = redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id)[1]
      taken = {id, pending[4] + 1, entry[2]}
      break
    end
    give_up_if_dead(pending)
  end
end
if #given_up > 0 then redis.call('XACK', KEYS[1], ARGV[1], unpack(given_up)) end
local missed = redis.call('HDEL', KEYS[2], 'trimmed') == 1 or #given_up > 0
if missed then
  redis.call('HSET', KEYS[2], 'reset', redis.call('HINCRBY', KEYS[2], 'resets', 1))
end
if taken then return taken end

for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local fields = {}
  for index = 1, #info, 2 do fields[info[index]] = info[index + 1] end
  if fields['pending'] == 0 and fields['idle'] > tonumber(ARGV[4]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], fields['name'])
    redis.call('HDEL', KEYS[2], 'holds:' .. fields['name'])
  end
end
return false
