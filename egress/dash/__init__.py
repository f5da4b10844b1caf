"""DASH and Low-Latency DASH, of the segments that `egress/hls/` cuts.

One file for the presentation's description, one for what of a stream goes into it, one for the
routes. Nothing here cuts media, or knows who may watch: that is `egress/hls/`'s.
"""
