"""Cue points of a stream, and splices by SCTE-35: out of its data messages, into HLS and DASH.

Nothing here does IO, or knows who watches.
"""
