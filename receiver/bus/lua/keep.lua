-- A sign of life of a worker for entries it holds; what was handled meanwhile stays handled. One that was trimmed is not
-- claimed, for XCLAIM would forget it, and nothing would tell that it was missed if this worker died now. In its place
-- the state notes `holds:<worker>`, the milliseconds when it was last known to hold such entries. No
-- entry is read, for they can be large.
--
-- KEYS: 1 events, 2 state of the group
-- ARGV: 1 group, 2 worker, 3 what the count of hand-outs becomes or '' to leave it, then the ids

local lacks = false
for index = 4, #ARGV do
  local id = ARGV[index]
  if is_trimmed(id) then
    lacks = true
  else
    local more = ARGV[3] == '' and {'JUSTID'} or {'RETRYCOUNT', ARGV[3], 'JUSTID'}
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, unpack(more))
  end
end
if lacks then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('HSET', KEYS[2], 'holds:' .. ARGV[2], string.format('%.0f', now))
end
