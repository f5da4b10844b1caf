"""Who takes workers down, and how the others are kept apart from it.

`crash_cause.py` says whose fault a worker's end may be, `quarantine.py` and `poison_addresses.py`
what is remembered of streams and addresses, `unusual_sources.py` which newcomers are tried apart,
and `isolation.py` gives one stream a worker of its own. Nothing here finds room for a stream, lets
one in, or brings it back after a loss: those ask here.
"""
