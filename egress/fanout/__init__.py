"""A rendition's viewers who get tags as they are, whatever wraps them: RTMP's chunks, FLV's tags.

All of a rendition are one subscriber of it, in groups that get the same bytes: each tag is put into
the bytes of a wire form once. The wire forms are their protocols'; nothing here has a socket.
"""
