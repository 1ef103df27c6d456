-- lib/create: create an object, or attach to the one that has its name.
--
-- Every create script is: begin_create(), store the content, register(), save the reply OK.

-- @include lib/reply_cache
-- @include lib/errors
-- @include lib/save_error
-- @include lib/object_fields
-- Return the reply in a list if the request was executed before, if an object of that name exists, or if what the
-- content refers to must be kept first (refusal, see lib/refs). Else return nil: what another object of that name left
-- in keys, the data first, has been removed.
local function begin_create(reply_cache, request, names, name, keys, refusal)
  local done = cached_reply(reply_cache, request)
  if done or name == '' then return done end
  local kind = redis.call('HGET', names, name)
  if kind and redis.call('EXISTS', keys[1]) == 1 then return {save_reply(reply_cache, request, EXISTS .. kind)} end
  if refusal then return {save_error(reply_cache, request, refusal)} end
  if redis.call('EXISTS', unpack(keys)) > 0 then redis.call('UNLINK', unpack(keys)) end
  return nil
end

-- List a named object under its name; give an unnamed one its lease. The kind is TYPE (empty where users name
-- the fields, or there is no hash), a line feed, and the entry of the name.
local function register(names, name, kind, lease, keys)
  local stored, entry = string.match(kind, '^([^\n]*)\n(.*)$')
  if stored ~= '' then redis.call('HSET', keys[1], TYPE, stored) end
  if name ~= '' then
    redis.call('HSET', names, name, entry)
    return
  end
  for _, key in ipairs(keys) do redis.call('PEXPIRE', key, lease) end
end
