-- Note what was read in a cache: in each bucket that a name has members, `expires,member,member`.
--
-- KEYS: the buckets, one for each name, and last where it is noted that a bucket had no room, or a name only for its
--       newest members
-- ARGV: 1 now in seconds, 2 seconds to keep a note, 3 members kept of one name, 4 bytes kept of one name, 5 names kept
--       in one bucket, then for each name the name, and its members joined by commas
-- Returns {members that were new, names for which there was no room, names whose oldest members gave way}
local now, lifetime = tonumber(ARGV[1]), tonumber(ARGV[2])
local max_members, max_bytes, max_names = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local learnt, dropped, cut, full = 0, 0, 0, table.remove(KEYS)

-- Fields of a hash do not expire by themselves. A bucket is tidied while it grows, a few fields at a time: to look at
-- all of them would keep every logout waiting. The right to the command may be missing.
local function tidy(bucket)
  local fields = redis.pcall('HRANDFIELD', bucket, 4, 'WITHVALUES')
  for index = 1, #fields, 2 do
    local expires = tonumber(string.match(fields[index + 1], '^%d+') or '')
    if not expires or expires <= now then redis.call('HDEL', bucket, fields[index]) end
  end
end

local COMMA = string.byte(',')

local function has(members, member)
  local first, last = string.find(members, member, 1, true)
  while first do
    local begins = first == 1 or string.byte(members, first - 1) == COMMA
    if begins and (last == #members or string.byte(members, last + 1) == COMMA) then return true end
    first, last = string.find(members, member, first + 1, true)
  end
  return false
end

-- The oldest give way. Plain searches only: a pattern is asked at every byte, and that takes long.
local function within_limits(members)
  local starts, comma = {1}, string.find(members, ',', 1, true)
  while comma do
    starts[#starts + 1] = comma + 1
    comma = string.find(members, ',', comma + 1, true)
  end
  local first = math.max(1, #starts - max_members + 1)
  while first < #starts and #members - starts[first] >= max_bytes do first = first + 1 end
  return string.sub(members, starts[first]), first > 1
end

-- Something is missing there for as long as what was left out would have been kept.
local function note_missing(place)
  if not redis.call('HGET', full, place) then tidy(full) end
  redis.call('HSET', full, place, string.format('%d', now + lifetime))
  redis.call('EXPIRE', full, lifetime)
end

for index, bucket in ipairs(KEYS) do
  local name, found = ARGV[4 + 2 * index], ARGV[5 + 2 * index]
  local entry = redis.call('HGET', bucket, name)
  if not entry then tidy(bucket) end
  if not entry and redis.call('HLEN', bucket) >= max_names then
    dropped = dropped + 1
    note_missing(bucket)
  else
    local comma = string.find(entry or '', ',', 1, true)
    local expires = comma and tonumber(string.sub(entry, 1, comma - 1))
    local members = expires and string.sub(entry, comma + 1)
    local new = {}
    for member in string.gmatch(found, '[^,]+') do
      if not members or not has(members, member) then new[#new + 1] = member end
    end
    learnt = learnt + #new
    -- A note that was renewed a moment ago costs no write.
    if #new > 0 or expires < now + lifetime * 0.9 then
      if members then table.insert(new, 1, members) end
      local kept, are_less = within_limits(table.concat(new, ','))
      redis.call('HSET', bucket, name, string.format('%d', now + lifetime) .. ',' .. kept)
      if are_less then
        cut = cut + 1
        note_missing(bucket .. ' ' .. name)
      end
      if redis.call('TTL', bucket) < lifetime then redis.call('EXPIRE', bucket, lifetime) end
    end
  end
end
return {learnt, dropped, cut}
