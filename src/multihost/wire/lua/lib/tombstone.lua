-- lib/tombstone: stands for an element of a list that is about to be removed: no stored value starts with NUL.

local TOMBSTONE = '\0'
