"""Streams and their renditions as they come in, what is kept of them, and who subscribes to them.

Pure: messages and the time go in, and subscribers are called when a rendition is flushed. No
socket, no protocol of viewers and no RTMP may come in here.
"""
