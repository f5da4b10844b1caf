"""MPEG transport streams as a way out of the egress: what viewers by SRT are sent.

`from_units.py` makes a rendition's tags into packets, once for all (pure); `output.py` and
`viewer.py` are those who watch (IO). Channels and queues are those of `egress/http/`. Of SRT
nothing is known here: the `srt` child hands connections over, and passes bytes on.
"""
