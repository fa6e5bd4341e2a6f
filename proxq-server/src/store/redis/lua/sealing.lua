-- Which key seals a record, as store/record.rs and sealing/keyring.rs write it. What scripts that hand out jobs share.
local SEALED = 2 -- the version of such a record
local KEY_ID = '(........)'

-- The id of the key that seals a part of a record; nil where nothing is sealed. Of a damaged record, it may be any.
local function key_of(record)
  if version_of(record) ~= SEALED then
    return nil
  end
  local at, open_bytes, unit = 1, 0, 1
  repeat
    at = at + 1
    local byte = string.byte(record, at) or 0
    open_bytes, unit = open_bytes + byte % 128 * unit, unit * 128
  until byte < 128
  return string.match(record, '^\1' .. KEY_ID, at + 1 + open_bytes)
end
