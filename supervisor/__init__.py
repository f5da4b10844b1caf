"""The supervisor: it starts, watches and stops a farm's processes, and decides who does what.

`farm` and `placement` decide, purely; `processes` and `hardware` deal with the host; `commands` has
`tfarm`, both ends of each command; `run.py` joins them. No media passes through this process, and
its death leaves the farm running.
"""
