"""RTMP play: players handed over by ingest, their sockets, and the fan-out to them.

All players of a rendition are one subscriber of it, so that the bytes of a tag are made once for
all of them. Which streams and renditions there are, and who may have them, is not decided here.
"""
