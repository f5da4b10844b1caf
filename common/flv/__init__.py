"""FLV, the container that RTMP speaks: tags, their bodies, script data, 32-bit timestamps.

Bodies become units of `common.media` here and units bodies, classic FLV for what it knows and
Enhanced RTMP's FourCC form for the rest. Only protocol folders, and modules that make or open tags,
import this; it knows nothing of RTMP's chunks, commands and sessions.
"""
