-- Part of publish.lua and register.lua: the registered sign-ins of a user, one a line.

-- Plain searches only: a pattern is asked at every byte, and the names that apps register can be long.
local function split(text, by)
  local parts, from = {}, 1
  while true do
    local at = string.find(text, by, from, true)
    parts[#parts + 1] = string.sub(text, from, at and at - 1)
    if not at then return parts end
    from = at + 1
  end
end

-- Parts of a text, `{first, last}`, each a line of it. Neighbours stay in one piece: to join many long ones takes long.
local function joined(text, lines)
  local pieces, from = {}, nil
  for index, line in ipairs(lines) do
    from = from or line[1]
    local behind = lines[index + 1]
    if not behind or behind[1] ~= line[2] + 2 then
      pieces[#pieces + 1] = string.sub(text, from, line[2])
      from = nil
    end
  end
  return table.concat(pieces, '\n')
end
