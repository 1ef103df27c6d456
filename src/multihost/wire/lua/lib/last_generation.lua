-- lib/last_generation: up to where the generations of a condition are looked through, by numbers that another program
-- may have altered.

-- None if they are more than a hundred thousand, which no condition has: a script that counts on and on occupies the
-- server.
local function last_generation(first, last)
  return last - first <= 100000 and last or first - 1
end
