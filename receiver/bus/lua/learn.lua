-- Note what was read in a cache: in each bucket that a name has a member, `expires,member,member`.
--
-- KEYS: the buckets, one for each note
-- ARGV: 1 now in seconds, 2 seconds to keep a note, 3 members kept of one name, then for each note its name and its
--       member, which holds no comma
-- Returns the number of notes that were new
local now, lifetime = tonumber(ARGV[1]), tonumber(ARGV[2])
local learnt = 0
for index, bucket in ipairs(KEYS) do
  local name, member = ARGV[2 + 2 * index], ARGV[3 + 2 * index]
  local entry = redis.call('HGET', bucket, name)
  local expires, members = string.match(entry or '', '^(%d+),(.*)$')
  local known = members and string.find(',' .. members .. ',', ',' .. member .. ',', 1, true)
  if not known then
    learnt = learnt + 1
    members = members and members .. ',' .. member or member
    local count = select(2, string.gsub(members, ',', ',')) + 1
    if count > tonumber(ARGV[3]) then members = string.match(members, ',(.*)$') end
  end
  -- A note that was renewed a moment ago costs no write.
  if not known or tonumber(expires) < now + lifetime * 0.9 then
    redis.call('HSET', bucket, name, string.format('%d', now + lifetime) .. ',' .. members)
    if redis.call('TTL', bucket) < lifetime then redis.call('EXPIRE', bucket, lifetime) end
  end
  -- Fields of a hash do not expire by themselves; a bucket is tidied now and then while it grows.
  if not entry and redis.call('HLEN', bucket) % 16 == 0 then
    local fields = redis.call('HGETALL', bucket)
    for field = 1, #fields, 2 do
      if (tonumber(string.match(fields[field + 1], '^%d+') or '') or 0) <= now then redis.call('HDEL', bucket, fields[field]) end
    end
  end
end
return learnt
