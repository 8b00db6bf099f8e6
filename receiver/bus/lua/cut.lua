-- Take some members out of a JSON value, also when others in it have changed since it was read; keeps its lifetime.
--
-- A member is told by its bytes, name and value: one that was written anew is another one. Accounts are counted, so
-- that a sign-in in between is noticed too. Where anything differs nothing is changed, and the caller reads again.
--
-- KEYS: 1 the value
-- ARGV: 1 hash field or '' for a string, 2 number of accounts, then of each its name and how many entries name it,
--       then the members in the order of the text
-- Returns 1 when done or when there is no value any more, 0 when anything differs
local field, accounts = ARGV[1], tonumber(ARGV[2])
local value
if field == '' then value = redis.call('GET', KEYS[1]) else value = redis.call('HGET', KEYS[1], field) end
if not value then return 1 end

local find, sub, byte = string.find, string.sub, string.byte
local SPACE = {[32] = true, [9] = true, [10] = true, [13] = true}
local QUOTE, COMMA, COLON, OPEN = 34, 44, 58, 123

-- The last place before this one that is no space; `from` - 1 where there is none.
local function ends_before(text, place, from)
  place = place - 1
  while place >= from and SPACE[byte(text, place)] do place = place - 1 end
  return place
end

local left = {}
for number = 1, accounts do left[ARGV[2 * number + 1]] = tonumber(ARGV[2 * number + 2]) end
local NAME = '"home_account_id"'
local at = 1
if accounts <= 4 then
  -- Each by itself: other users' entries are not looked at one by one.
  for account in pairs(left) do
    local text = account .. '"'
    at = 1
    while true do
      local begin, ending = find(value, text, at, true)
      if not begin then break end
      local colon = byte(value, begin - 1) == QUOTE and ends_before(value, begin - 1, 1) or 0
      if byte(value, colon) == COLON then
        local name_ends = ends_before(value, colon, 1)
        if sub(value, name_ends - #NAME + 1, name_ends) == NAME then left[account] = left[account] - 1 end
      end
      at = ending + 1
    end
  end
else
  while true do
    local _, named = find(value, NAME, at, true)
    if not named then break end
    local account = string.match(value, '^%s*:%s*"([^"]*)"', named + 1)
    if account and left[account] then left[account] = left[account] - 1 end
    at = named + 1
  end
end
for _, count in pairs(left) do
  if count ~= 0 then return 0 end
end

-- The first place behind this one that is no space.
local function begins_behind(text, place)
  place = place + 1
  while SPACE[byte(text, place)] do place = place + 1 end
  return place
end

local kept = {}
local first = false -- whether all members before this place in their object are gone
at = 1
for number = 2 * accounts + 3, #ARGV do
  local begin, ending = find(value, ARGV[number], at, true)
  if not begin then return 0 end
  local before = ends_before(value, begin, at)
  local mark = before >= at and byte(value, before) or nil
  if mark == COMMA then
    kept[#kept + 1] = sub(value, at, ends_before(value, before, at))
    at, first = ending + 1, false
  elseif mark == OPEN or (mark == nil and first) then
    kept[#kept + 1] = sub(value, at, begin - 1)
    local behind = begins_behind(value, ending)
    first = byte(value, behind) == COMMA
    at = first and begins_behind(value, behind) or ending + 1
  else
    return 0 -- no member: the same bytes in a text
  end
end
kept[#kept + 1] = sub(value, at)
value = table.concat(kept)
if field == '' then
  redis.call('SET', KEYS[1], value, 'KEEPTTL')
else
  redis.call('HSET', KEYS[1], field, value)
end
return 1
