"""What a call costs, beside the standard library's Manager. ``python -m bench`` is the front door.

Every contender offers the same rows (``catalogue``), the rows are measured in turns
(``measure``), and whatever is printed or drawn comes from one JSON document (``report``,
``goals``, ``draw``). See ``bench/README.md`` for what each number means.
"""
