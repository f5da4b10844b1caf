"""Viewers' sockets, whatever protocol they speak: how they are handed over, read and written.

What is sent and what is made of what comes belongs to the folder of a protocol. Nothing here knows
a stream.
"""
