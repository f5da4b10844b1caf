"""Devices that decode, scale and encode: `backend.py` says what each must do, `table.py` has all.

Each device is a folder whose modules are imported through the table alone. Streams, threads and
messages are not known here.
"""
