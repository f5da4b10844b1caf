"""HLS and low-latency HLS: parts and segments of each track, in memory, and the playlists of them.

Segments stand on the grid of stream time that keyframes stand on, so that a number says the same
in every rendition, after a restart and on another host. Nothing is made where nobody watches. Pure
but for `output.py`, `live.py`, `entrance.py` and `routes.py`, which alone knows HTTP.
"""
