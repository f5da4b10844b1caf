"""Coded formats outside decoders: configuration records, parameter sets, headers of frames.

One file a codec, each a line of `table.py`. Nothing here decodes, knows a container or
a protocol, or imports more than `common.media`.
"""
