-- lib/sort_space: where the first item of a priority queue goes, and how far from it the next one.
--
-- data:items is sorted by a score and, among equal ones, by the first 16 digits of the member, its place; 16 more make
-- it unique, the rest is the value. There is room for 2^52 on both sides; place 0 is for what came back (lib/reinsert_sorted).

local MIDDLE, STEP = 4503599627370496, 65536
