-- Duplicate check, marks, resolution and append: one step, so that nothing can come in between.
--
-- KEYS: 1 events, 2 jti, 3 sequence; the others are found on the way and share their hash tag
-- ARGV: 1 event JSON up to and including `"accounts":[`, 2 accounts known already as JSON strings one per line,
--       3 seconds to remember the jti, 4 stream length to keep, 5 milliseconds to keep entries, 6 now in seconds,
--       7 logout_at in seconds, 8 seconds to keep marks, 9 digest of the subject or '', 10 digest of the session or '',
--       11 'user' or 'session', 12 suffix of a client's own marks or '', 13 that client as JSON,
--       14 prefix of all keys, 15 the event's id as JSON, 16 bytes an event may have,
--       17 key of what a repeat has in common with the first, or '', 18 the event's id where another logout has the
--       first one, 19 id of the first event of this (iss, jti) or '',
--       20 names of the subject in the evictor's index, one after another, 21 those of the session,
--       22 digest of the account where the order names one in place of a subject, or '',
--       23 which clock logout_at is of, as core/marks.py numbers it, 24 seconds by which other dates may differ from it
-- What does not fit into one event is appended as several: the second has the id `<id>-2`, and so on.
-- Returns {stream id of the first, 1 if it was there already else 0, event id of the first,
--          1 if another logout has the eviction's own id else 0, number of damaged entries left out,
--          number of accounts and subjects beyond the limits, which were not marked}
local prefix, now, logout_at, mark_s = ARGV[14], tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local sub, sid, scope, suffix = ARGV[9], ARGV[10], ARGV[11], ARGV[12]
local subject_key = ARGV[17]
local source, skew = tonumber(ARGV[23]), tonumber(ARGV[24])

local function jti_key(of) return prefix .. ':jti:' .. of end
local event_id = string.sub(KEYS[2], #jti_key('') + 1)

local function remember(of, at)
  if subject_key ~= '' then
    redis.call('SET', subject_key, string.format('%d %s', at, of), 'EX', ARGV[3])
  end
end

local function repeated(of, place)
  -- A write, so that a WAIT after a repeat waits for the first one too: replication keeps the order.
  redis.call('EXPIRE', jti_key(of), ARGV[3])
  return {place, 1, of, 0, 0, 0}
end

-- When the entry at this place says the user was signed out; nil where it is another logout. A release that did not
-- compare left nothing else to tell it by.
local function date_of_this(place)
  -- Without the right to read the stream, or without the entry, it counts as another one: twice is better than never.
  local entries = redis.pcall('XRANGE', KEYS[1], place, place)
  local fields = not entries.err and entries[1] and entries[1][2] or {}
  for i = 1, #fields, 2 do
    local well_formed, there = pcall(cjson.decode, fields[i] == 'event' and fields[i + 1] or '')
    there = well_formed and type(there) == 'table' and there.data
    if type(there) == 'table' then
      local mine = cjson.decode(ARGV[1] .. ']}}').data
      local for_all = mine.client_id == cjson.null and there.applies_to ~= 'client'
      local same = mine.iss == there.iss and mine.jti == there.jti and mine.sub == there.sub and mine.sid == there.sid
        and (for_all or mine.client_id == there.client_id)
      return same and tonumber(there.logout_at) or nil
    end
  end
end

local seen = redis.call('GET', KEYS[2])
if subject_key == '' then
  if seen then return repeated(event_id, seen) end
else
  local known_at, known_id = string.match(redis.call('GET', subject_key) or '', '^(%d+) (%S+)$')
  local place = known_id and redis.call('GET', jti_key(known_id))
  if place and logout_at <= tonumber(known_at) then
    redis.call('EXPIRE', subject_key, ARGV[3])
    return repeated(known_id, place)
  end
  local at = seen and not place and date_of_this(seen)
  if at and logout_at <= at then
    remember(event_id, at)
    return repeated(event_id, seen)
  end
  if seen then
    event_id = ARGV[18]
    local again = redis.call('GET', jti_key(event_id))
    if again then return repeated(event_id, again) end
  end
end

-- As epoch.lua: what is published first into a Redis that lost its data must not hide that.
if redis.call('EXISTS', KEYS[3]) == 0 and redis.call('EXISTS', KEYS[1], prefix .. ':mark:epoch') == 0 then
  redis.call('SET', prefix .. ':mark:epoch', string.format('%d', now))
end

-- As bus/keys.py names them.
local function bucket_of(kind, digest)
  return prefix .. ':' .. kind .. ':' .. string.sub(digest, 1, 2) .. string.byte(digest, 3) % 2
end

-- Three digits count logouts which do not move the date, the last says which clock the date is of.
local function mark(digest)
  local key = prefix .. ':mark:' .. digest .. suffix
  local text, noted = unpack(redis.call('MGET', key, prefix .. ':mark:anew:' .. digest .. suffix))
  local at, digits = date_of(text)
  -- A sign-in is noted as newer than what there was, also under other names. This logout is later, even by an earlier date.
  local noted_at, noted_digits = date_of(noted)
  if noted_at and (not at or tonumber(noted) > tonumber(text)) then at, digits = noted_at, noted_digits end
  local count, whose = 0, source
  if at and at >= logout_at then
    count, whose = string.match(digits, '^(%d%d%d)([012])$')
    -- The dates of both are within the later one; what the stricter one ends goes with it.
    count, whose = tonumber(count or '0') + 1, math.min(tonumber(whose or '0'), source)
    if count > 999 then at, count = at + 1, 0 end
  else
    at = logout_at
  end
  -- No longer than the sessions it is meant for, which began before it; an hour at least.
  local keep_s = math.max(tonumber(mark_s) - math.max(now - at, 0), math.min(tonumber(mark_s), 3600))
  local digits = (count > 0 or whose > 0) and string.format('.%03d%d', count, whose) or ''
  redis.call('SET', key, string.format('%d', at) .. digits, 'EX', keep_s)
end

-- Entries that are not as this project writes them; they are left out, and stop no logout.
local damaged = 0

local QUOTE, COMMA = string.byte('"'), string.byte(',')

-- How many JSON strings, joined by commas, this is; nil where it is anything else. All that write them escape what is
-- not ASCII, and a reader refuses an event with half a character in it.
local function strings_in(text)
  if not string.find(text, '\\', 1, true) and not string.find(text, '[^ -~]') then
    -- Nothing is escaped, so the quotes tell. A parser takes many times as long.
    local count, at = 0, 1
    while string.byte(text, at) == QUOTE do
      local ending = string.find(text, '"', at + 1, true)
      if not ending then break end
      count = count + 1
      if ending == #text then return count end
      if string.byte(text, ending + 1) ~= COMMA then break end
      at = ending + 2
    end
  end
  local well_formed, values = pcall(cjson.decode, '[' .. text .. ']')
  if not well_formed or string.find(text, '[^ -~]') then return nil end
  for _, value in ipairs(values) do
    if type(value) ~= 'string' then return nil end
  end
  return #values
end

local accounts, known = {}, {}
for json in string.gmatch(ARGV[2], '[^\n]+') do
  accounts[#accounts + 1] = json
  known[json] = true
end
local function add_account(json)
  if json == '' or known[json] then return end
  known[json] = true
  if strings_in(json) == 1 then
    accounts[#accounts + 1] = json
  else
    damaged = damaged + 1
  end
end

local function is_digest(text) return text and string.find(text, '^[%w_-]+$') and #text > 2 end

local sessions = {}

-- Accounts with subjects that are marked too, those that apps registered first. An app's cache names the account: one
-- that was forged could name thousands, and Redis does nothing else meanwhile.
local MAX_HOMES, MAX_USERS = 16, 256
local registered, indexed, is_home, beyond = {}, {}, {}, 0
local function note_home(list, home)
  if not is_digest(home) or is_home[home] then return end
  is_home[home] = true
  list[#list + 1] = home
end

-- Ends the registered sessions of one subject, or one session of it; true when some of that session live on.
local function end_sessions(user, only_sid)
  local key = prefix .. ':user:' .. user
  local lines = redis.call('GET', key)
  if not lines then return false end
  local kept, lives, at = {}, false, 1
  for _, line in ipairs(split(lines, '\n')) do
    local first = at
    at = first + #line + 1
    local fields = split(line, '\t')
    if #fields ~= 8 then
      fields = {'', '', '', '', '', '', '', ''}
      damaged = damaged + 1
    end
    local expires, auth_time, began_at, client, session, account, home, keys = unpack(fields)
    -- A named session is over unless it is known to have authenticated anew; of a user's sessions the later ones live.
    local began = (only_sid ~= '' or began_at == '') and auth_time or began_at
    -- The account's user is the same for sessions of any age.
    note_home(registered, home)
    local mine = (only_sid == '' or session == only_sid)
      and (suffix == '' or client == ARGV[13])
      and (tonumber(began) or 0) <= logout_at + skew
    if mine then
      add_account(account)
      if keys ~= '' then
        if strings_in(client) == 1 and strings_in(keys) then
          sessions[#sessions + 1] = '{"client_id":' .. client .. ',"keys":[' .. keys .. ']}'
        else
          damaged = damaged + 1
        end
      end
    elseif (tonumber(expires) or 0) > now then
      kept[#kept + 1] = {first, at - 2}
      lives = lives or session == only_sid
    end
  end
  if #kept == 0 then
    redis.call('UNLINK', key)
  else
    redis.call('SET', key, joined(lines, kept), 'KEEPTTL')
  end
  return lives
end

-- What the evictor has read in the caches: the accounts of a subject or a session.
local function look_up(names)
  for name in string.gmatch(names, '%S+') do
    local entry = redis.call('HGET', bucket_of('index', name), name) or ''
    for item in string.gmatch(string.match(entry, ',(.*)') or '', '[^,]+') do
      local home, account = string.match(item, '^(%S+) (.*)$')
      if home and account ~= '' then add_account(account) else damaged = damaged + 1 end
      note_home(indexed, home)
    end
  end
end

local bucket = sid ~= '' and bucket_of('sids', sid)
local users = bucket and string.match(redis.call('HGET', bucket, sid) or '', ',(.*)') or ''
-- A session known to be another user's is not the one this token means (BCL 2.7): both claims must agree. With
-- pairwise subjects it can be, at an app that registers late; so the two claims together are marked.
local foreign = sub ~= '' and users ~= '' and not string.find(users, sub, 1, true)
if sid ~= '' then mark(foreign and sid .. '+' .. sub or sid) end
look_up(ARGV[20])
if not foreign then look_up(ARGV[21]) end
note_home(registered, ARGV[22])
if scope == 'user' then
  mark(sub)
  end_sessions(sub, '')
  -- An OP with pairwise subjects names the user differently to every client; the account is the same,
  -- also where a client registers it later.
  local homes, ended = 0, 0
  for _, list in ipairs({registered, indexed}) do
    for _, home in ipairs(list) do
      homes = homes + 1
      if homes <= MAX_HOMES then
        mark(home)
        local entry = redis.call('HGET', bucket_of('account', home), home) or ''
        for user in string.gmatch(string.match(entry, ',(.*)') or '', '[^,]+') do
          if user ~= sub then ended = ended + 1 end
          if user ~= sub and ended <= MAX_USERS then
            mark(user)
            end_sessions(user, '')
          end
        end
      end
    end
  end
  beyond = math.max(0, homes - MAX_HOMES) + math.max(0, ended - MAX_USERS)
elseif not foreign then
  local lives = false
  for user in string.gmatch(users, '[^,]+') do
    if end_sessions(user, sid) then lives = true end
  end
  if users ~= '' and not lives then redis.call('HDEL', bucket, sid) end
end

local before_sessions, last = '],"sessions":[', ']}}'
if beyond > 0 then last = string.format('],"beyond":%d}}', beyond) end
local from, to = string.find(ARGV[1], '"id":' .. ARGV[15], 1, true)
local before_id, after_id = string.sub(ARGV[1], 1, from + 4), string.sub(ARGV[1], to + 1)
local id_json = event_id == ARGV[18] and '"' .. event_id .. '"' or ARGV[15]
local parts, ids = 0, {}

-- One event of its own id for each part; each is found by that id, as a whole event is.
local function append(some_accounts, some_sessions)
  parts = parts + 1
  local part = parts > 1 and '-' .. parts or ''
  local head = before_id .. string.sub(id_json, 1, -2) .. part .. '"' .. after_id
  local event = head .. table.concat(some_accounts, ',') .. before_sessions .. table.concat(some_sessions, ',') .. last
  local n = redis.call('INCR', KEYS[3])
  local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'event', event, 'n', n)
  redis.call('SET', jti_key(event_id .. part), id, 'EX', ARGV[3])
  ids[parts] = event_id .. part
  return id
end

-- Room beside the head and what closes the event; some is left for the suffix of the id.
local room = tonumber(ARGV[16]) - #ARGV[1] - #before_sessions - #last - 16
local first, taken = nil, 0
local some_accounts, some_sessions = {}, {}
local function flush()
  local id = append(some_accounts, some_sessions)
  first = first or id
  some_accounts, some_sessions, taken = {}, {}, 0
  return id
end
-- What is larger than an event by itself gets one of its own: nothing is left out.
local function take(list, item)
  if taken > 0 and taken + #item + 1 > room then flush() end
  local into = list == accounts and some_accounts or some_sessions
  into[#into + 1] = item
  taken = taken + #item + 1
end
for _, account in ipairs(accounts) do take(accounts, account) end
for _, session in ipairs(sessions) do take(sessions, session) end
local id = flush()
-- By the age of entries on the clock that named them, which is Redis's own.
local oldest = tonumber(string.match(id, '^%d+')) - tonumber(ARGV[5])
redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f', math.max(oldest, 0)))
remember(event_id, logout_at)
if ARGV[19] ~= '' and (parts > 1 or event_id ~= ARGV[19]) then
  local key, others = prefix .. ':further:' .. ARGV[19], {}
  for other in string.gmatch(redis.call('GET', key) or '', '%S+') do others[#others + 1] = other end
  for _, other in ipairs(ids) do
    if other ~= ARGV[19] then others[#others + 1] = other end
  end
  -- The last hundred: an OP that gives every token the same jti must not make this grow.
  redis.call('SET', key, table.concat(others, ' ', math.max(1, #others - 99)), 'EX', ARGV[3])
end
return {first, 0, event_id, event_id == ARGV[18] and 1 or 0, damaged, beyond}
