"""What is reached and what is not, as the server itself says it in one moment.

The walk goes by the lists of contents alone: it asks neither the collector nor the leases.
"""

from __future__ import annotations

from typing import NamedTuple

from multihost.wire.collect import collector
from multihost.wire.script import Script
from multihost.wire.script.header import Header, parse
from multihost.wire.script.source import Source, expand
from tests.support.server import Server

__all__ = ["Audit", "audit", "guard_sweeps", "swept_though_reached"]

WRONG = "swept though reached"

# Two keys of an object in different partitions: no script of the library looks at both.
WALK = """
local function walk(lease)
  local data, contains, where, waiting, reached = {}, {}, {}, {}, {}
  for _, key in ipairs(redis.call('KEYS', '{*}:[nu]:*')) do
    local prefix, ident, part = string.match(key, '^({[^}]*}:)([nu]:[^:]+)(.*)$')
    if part == '' then data[ident] = key end
    if part == ':contains' then contains[ident] = key end
    if part == '' and string.sub(ident, 1, 2) == 'n:' then waiting[#waiting + 1] = ident end
  end
  if lease then
    local clock = redis.call('TIME')
    local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
    local function add(pattern, since)
      for _, key in ipairs(redis.call('KEYS', pattern)) do
        local from = string.format('%.0f', since)
        for _, ident in ipairs(redis.call('ZRANGEBYSCORE', key, from, '+inf')) do
          waiting[#waiting + 1] = ident
        end
      end
    end
    add('{*}:held', now)
    add('{*}:cut', now - lease)
  end
  while #waiting > 0 do
    local ident = table.remove(waiting)
    if not reached[ident] then
      reached[ident] = true
      if contains[ident] then
        for _, each in ipairs(redis.call('HKEYS', contains[ident])) do
          waiting[#waiting + 1] = each
        end
      end
    end
  end
  return reached, data
end
"""

AUDIT = (
    WALK
    + """
local reached, data = walk()
local whole, leased, missing = {}, {}, {}
for ident in pairs(reached) do
  if string.sub(ident, 1, 2) == 'u:' then
    local found = missing
    if data[ident] then found = redis.call('PTTL', data[ident]) == -1 and whole or leased end
    found[#found + 1] = ident
  end
end
return {whole, leased, missing}
"""
)

# In place of the line of the script that begins to remove what it has found.
SWEEP = "for _, ident in ipairs(found) do"
GUARD = f"""
if #found > 0 then
  {WALK}
  local reached = walk(tonumber(ARGV[3]) - tonumber(ARGV[4]))
  for _, ident in ipairs(found) do
    if reached[ident] and redis.call('PTTL', partition .. ident) < 0 then
      redis.call('RPUSH', '{WRONG}', ident)
    end
  end
end
"""


class Audit(NamedTuple):
    """The unnamed objects that names lead to."""

    whole: set[str]
    """Those without a lease."""
    leased: set[str]
    """Those that end with their holders: there must be none."""
    missing: set[str]
    """Those that are not there any more, though something refers to them."""


def audit(server: Server) -> Audit:
    """Look at everything, in one moment."""
    found = server.command("EVAL", AUDIT, 0)
    return Audit(*({ident.decode() for ident in each} for each in found))


class _Guarded(Script):
    """The script that sweeps; before that it looks at what leads to what it removes."""

    @property
    def _loaded(self) -> tuple[Source, Header]:  # type: ignore[override]
        source = expand(self.name)
        assert source.code.count(SWEEP) == 1
        code = source.code.replace(SWEEP, GUARD + SWEEP)
        return source._replace(code=code), parse(self.name, source.file, source.code)


def guard_sweeps(monkeypatch: object) -> None:
    """Have each sweep of this process, and of those that it forks, note what it must not remove:
    what a name leads to, a process holds, or a container let go less than a lease ago.
    """
    monkeypatch.setattr(collector, "_sweep", _Guarded("collect/sweep"))  # type: ignore[attr-defined]


def swept_though_reached(server: Server) -> list[str]:
    """Return what was noted."""
    return [each.decode() for each in server.command("LRANGE", WRONG, 0, -1)]
