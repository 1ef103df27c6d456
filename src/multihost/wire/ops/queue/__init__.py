"""Operations of a queue.

A queue is a hash beside its items: a list, or a sorted set for a queue by priority. When it is shut
down an end-of-queue marker, the empty string, is put behind the last item; each consumer that
receives it puts it back for the next one.

An item moves to an *in-flight list* of the consumer, in one command that blocks while there is
none. It stays there until it is acknowledged (with the next call of the consumer, or by its
background thread a few milliseconds later) or, if it would be delivered again otherwise, until
``task_done()``. Items in flight of a dead session are requeued, and so are those that came to an
in-flight list after its connection broke: such a list is not used again.
"""
