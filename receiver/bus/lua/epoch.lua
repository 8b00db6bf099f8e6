-- Note that Redis has lost its marks, where stream and numbering are both gone: one step, so that a logout that is
-- published meanwhile cannot hide it. The numbering has no end of its own, so an installation that was in use has it.
--
-- KEYS: 1 events, 2 sequence, 3 epoch, then what only an installation in use has
-- ARGV: 1 now in seconds
-- Returns the epoch where it was written now, else nothing
if redis.call('EXISTS', KEYS[3]) > 0 then return false end
-- An earlier release wrote no epoch, and listeners keep no answer of a Redis without one that has no news: 0 ends nothing.
local in_use = redis.call('EXISTS', KEYS[1], KEYS[2], unpack(KEYS, 4)) > 0
local epoch = in_use and '0' or ARGV[1]
redis.call('SET', KEYS[3], epoch)
return epoch
