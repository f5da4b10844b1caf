"""What a device can do, tried out: `tfarm doctor` runs the probe, `tfarm calibrate` the search.

Each is a process of its own that answers in JSON, so that a driver's crash costs nobody else. The
sessions are the worker's own; no farm needs to run.
"""
