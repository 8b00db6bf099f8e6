-- Part of publish.lua, register.lua and mark.lua: the date of a mark, which has only digits and a point.
--
-- As core/marks.py: seconds, up to four digits after the point; what is no date says nothing. The date, then the digits.
local function date_of(text)
  local at, digits = string.match(text or '', '^(%d+)%.?(%d?%d?%d?%d?)$')
  if at and #at <= 12 then return tonumber(at), digits end
end
