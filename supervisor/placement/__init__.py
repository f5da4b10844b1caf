"""Which device a stream goes to, and what it costs there.

Here live pure functions on values: a fleet and a need in, a new fleet with the room that was found,
or the reason why there is none, out. No streams' lives, no messages, no IO: `supervisor/farm`
decides when to ask, and keeps what came of it.
"""
