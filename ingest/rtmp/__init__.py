"""RTMP publishers: the listener and its connections, and their messages as neutral media.

Sockets and RTMP stay in here. `to_units.py` is the only place of ingest that reads FLV bodies;
what may be published, and what becomes of it, is decided in `ingest.streams`.
"""
