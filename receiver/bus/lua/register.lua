-- Register a sign-in, unless its session is signed out already: one step, so that a logout cannot slip between.
--
-- KEYS: 1 user, 2 session bucket, 3 account bucket, 4 where this very sign-in is noted as newer than its marks, 5 where it
--       is for who reads caches, then the marks that count for the user, those of the session, the epoch, then
--       where the evictor may wait for this sign-in, and last whether apps register sign-ins of this issuer
-- ARGV: 1 digest of the user, 2 digest of the session or '', 3 digest of the account or '' when it is the subject,
--       4 now in seconds, 5 seconds to live, 6 auth_time or '', 7 when the session began at the latest or '',
--       8 client as JSON, 9 account as JSON or '', 10 keys as JSON strings joined by commas, 11 marks of the user,
--       12 when the OP gave this session to the app, or '', 13 seconds the clocks of OP and receiver may differ,
--       14 'anew' when the user has just authenticated because the app asked for it, else '',
--       15 how many places there are where the evictor may wait
-- Returns 2 when registered and newer than marks that would end it by its dates, 1 when registered, 0 when signed out
local epoch_at = #KEYS - 1 - tonumber(ARGV[15])
local newest, newest_text, doubt, keep_s = -math.huge, '', false, tonumber(ARGV[5])
local skew_s, given, anew = tonumber(ARGV[13]), tonumber(ARGV[12]), ARGV[14] ~= ''
local noted = redis.call('GET', KEYS[4])
noted = date_of(noted) and tonumber(noted) or -math.huge

-- Redis has lost its marks then: what the OP had given to the app before may have ended since.
local epoch = redis.call('GET', KEYS[epoch_at])
local lost_at = date_of(epoch)
if lost_at and given and given < lost_at then
  if lost_at > noted and not anew and given < lost_at - skew_s then return 0 end
  newest, newest_text, doubt = lost_at, epoch, true
end

for index, text in ipairs(redis.call('MGET', unpack(KEYS, 6, epoch_at - 1))) do
  local at, digits = date_of(text)
  if at then
    -- As core/marks.py: which clock dated it, and what of the session is compared with it.
    local value, source = tonumber(text), string.match(digits, '^%d%d%d([12])$') or '0'
    local began = index <= tonumber(ARGV[11]) and ARGV[7] or ARGV[6]
    if source == '2' then began = ARGV[12] end
    local skew = source == '0' and 0 or skew_s
    if began == '' or tonumber(began) <= at + skew then
      if value > noted and not anew and (began == '' or tonumber(began) <= at - skew) then return 0 end
      doubt = true
      keep_s = math.max(keep_s, redis.call('TTL', KEYS[5 + index]))
    end
    if value > newest then newest, newest_text = value, text end
  end
end
if doubt then
  -- First of all: without the right to note it, it is not registered, and the app is told so.
  redis.call('SET', KEYS[4], newest_text, 'EX', keep_s)
  redis.call('SET', KEYS[5], newest_text, 'EX', keep_s)
  -- A further logout has to be later than this, also with an earlier date and under another of the names: see publish.lua.
  for index = 6, epoch_at - 1 do
    local key = string.gsub(KEYS[index], '(.*:mark:)', '%1anew:')
    redis.call('SET', key, newest_text, 'EX', keep_s)
  end
end

-- It removed what could not be read. This sign-in is newer than the marks above, and than any logout before its time.
local newer_than = math.max(math.floor(newest), (tonumber(ARGV[6]) or 0) - 1)
for index = epoch_at + 1, #KEYS - 1 do
  local seen = redis.call('GET', KEYS[index])
  if seen and newer_than > (tonumber(seen) or 0) then
    redis.call('SET', KEYS[index], string.format('%.0f', newer_than), 'KEEPTTL')
  end
end

local now, lifetime = tonumber(ARGV[4]), tonumber(ARGV[5])
local expires = now + lifetime

local dates = ARGV[6] .. '\t' .. (ARGV[7] ~= ARGV[6] and ARGV[7] or '')
local before, lines, same, at = redis.call('GET', KEYS[1]) or '', {}, {}, 1
for _, line in ipairs(split(before, '\n')) do
  local first = at
  at = first + #line + 1
  local fields = split(line, '\t')
  -- A damaged line has no time, and goes.
  if #fields ~= 8 then fields = {} end
  local line_expires, client, session, keys = tonumber(fields[1]), fields[4], fields[5], fields[8]
  local again = client == ARGV[8] and session == ARGV[2]
  -- Under other names it is another session of the app, in another browser or after its cookie was lost.
  local replaced = again and keys == ARGV[10]
  -- Of two lifetimes the longer one counts: two apps may share a client and a name.
  if replaced then expires = math.max(expires, line_expires or now) end
  if line_expires and line_expires > now and not replaced then
    lines[#lines + 1] = {first, at - 2}
    if again and (session ~= '' or fields[2] .. '\t' .. fields[3] == dates) then same[#same + 1] = #lines end
  end
end
-- An app that names one session anew at every refresh must not crowd out the others.
if #same >= 8 then table.remove(lines, same[1]) end
local after = table.concat({string.format('%d', expires), dates, ARGV[8], ARGV[2], ARGV[9], ARGV[3], ARGV[10]}, '\t')
-- A subject with as many sessions, or names as long, is a robot; the oldest give way, their marks still work.
local bytes = #after
for _, line in ipairs(lines) do bytes = bytes + line[2] - line[1] + 2 end
while #lines >= 64 or (#lines > 0 and bytes > 262144) do
  local oldest = table.remove(lines, 1)
  bytes = bytes - (oldest[2] - oldest[1] + 2)
end
if #lines > 0 then after = joined(before, lines) .. '\n' .. after end
local ttl = redis.call('TTL', KEYS[1])
redis.call('SET', KEYS[1], after, 'EX', math.max(ttl, lifetime))

-- Note in a bucket that this user belongs to a session or an account: `expires,user,user`.
local function belongs(bucket, name)
  local before_expires, before = string.match(redis.call('HGET', bucket, name) or '', '^(%d+),(.*)')
  -- Fields of a hash do not expire by themselves. A bucket is tidied while it grows, a few fields at a time: to look at
  -- all of them would keep every logout waiting. The right to the command may be missing.
  local fields = before and {} or redis.pcall('HRANDFIELD', bucket, 4, 'WITHVALUES')
  for index = 1, #fields, 2 do
    local field_expires = tonumber(string.match(fields[index + 1], '^%d+') or '')
    if not field_expires or field_expires <= now then redis.call('HDEL', bucket, fields[index]) end
  end
  -- An app with shorter sessions must not end what another one registered.
  local latest = math.max(now + lifetime, tonumber(before_expires) or now)
  local users = before or ARGV[1]
  if not string.find(users, ARGV[1], 1, true) then
    users = users .. ',' .. ARGV[1]
  end
  redis.call('HSET', bucket, name, string.format('%d', latest) .. ',' .. users)
  if redis.call('TTL', bucket) < lifetime then redis.call('EXPIRE', bucket, lifetime) end
end
if ARGV[2] ~= '' then belongs(KEYS[2], ARGV[2]) end
if ARGV[3] ~= '' then belongs(KEYS[3], ARGV[3]) end
redis.call('SET', KEYS[#KEYS], '1', 'EX', math.max(redis.call('TTL', KEYS[#KEYS]), lifetime))
return doubt and 2 or 1
