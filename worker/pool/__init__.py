"""Scaled pictures in memory that a worker shares with encoder processes.

`layout.py` says where a session's pictures lie, `memory.py` maps them at both ends, `passing.py`
has the memory's way from one process to the other. Nothing here scales, encodes or knows a device.
"""
