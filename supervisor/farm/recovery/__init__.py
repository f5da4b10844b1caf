"""Streams that are not served as they should be: lost workers, sessions, devices that fall behind.

`lost_workers.py` is for what is gone, `migration.py` for what moves while it runs, `degradation.py`
over `overload.py` for too much load. Nothing here lets publishers in.
"""
