-- Remember that something was removed: what was in flight may write it back, and that may not go on for ever.
--
-- KEYS: the places of each note, one note after the other, by their digests
-- ARGV: 1 seconds to remember, then for each note:
--       how many of the places are its own, logout_at, until when something in flight may write it back, in seconds, or
--       '' where only further sessions of a note are added,
--       'again' when it was removed because it had come back, else '',
--       now in seconds when nothing proved that it was the old one, else '',
--       how many sessions were found there, and the digest of each

-- As core/numeric_date.py: what is no date, or no number as small as one, says nothing.
local function number_of(text)
  return text and #text <= 12 and string.match(text, '^%d+$') and tonumber(text) or nil
end

local function add_one(key, field)
  if not number_of(redis.call('HGET', key, field)) then redis.call('HDEL', key, field) end
  redis.call('HINCRBY', key, field, 1)
end

local place, at = 1, 2
while ARGV[at] do
  local logout_at, till, again, unsure = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3] ~= '', ARGV[at + 4]
  local sessions = tonumber(ARGV[at + 5])
  local after = place + tonumber(ARGV[at])
  while place < after do
    local key = KEYS[place]
    local before = number_of(redis.call('HGET', key, 'at'))
    -- More of a note comes before its head or behind it, and says only which sessions.
    local further = till ~= '' and (not before or tonumber(logout_at) > before)
    local fields = {}
    if further then fields = {'at', logout_at} end
    if till ~= '' and not again then
      fields[#fields + 1] = 'until'
      fields[#fields + 1] = till
    end
    for index = at + 6, at + 5 + sessions do
      fields[#fields + 1] = 'sid ' .. ARGV[index]
      fields[#fields + 1] = ''
    end
    if next(fields) then redis.call('HSET', key, unpack(fields)) end
    if again then
      add_one(key, 'again')
      if unsure ~= '' then
        add_one(key, 'unsure')
        redis.call('HSET', key, 'unsure_at', unsure)
      end
    elseif further and before then
      -- A further logout: the tries are for what it ended.
      redis.call('HDEL', key, 'again', 'unsure', 'unsure_at')
    end
    redis.call('EXPIRE', key, ARGV[1])
    place = place + 1
  end
  at = at + 6 + sessions
end
