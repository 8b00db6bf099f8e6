-- Part of keep.lua and leave_group.lua: whether an entry of the stream KEYS[1] has been trimmed.

-- Before the first entry there is. Numbers of up to 20 digits, told by their length first.
local first = redis.call('XREAD', 'COUNT', 1, 'STREAMS', KEYS[1], '0-0')
first = first and first[1][2][1][1]
local function is_less(one, other) return #one < #other or (#one == #other and one < other) end
local function is_trimmed(id)
  if not first then return true end
  local at, number = string.match(id, '^(%d+)-(%d+)$')
  local first_at, first_number = string.match(first, '^(%d+)-(%d+)$')
  return is_less(at, first_at) or (at == first_at and is_less(number, first_number))
end
