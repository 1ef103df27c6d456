-- lib/sort_space: the place of the first item in a priority queue, and the distance to the next one.
--
-- data:items is sorted by a score and, among equal ones, by the first 16 digits of the member, its place; 16 more make
-- it unique, the rest is the value. There is room for 2^52 on both sides; place 0 is for what was put back (see
-- lib/reinsert_sorted).

local MIDDLE = 4503599627370496
local STEP = 65536
