"""Messages over stream sockets, whatever carries these: frames and where they are read.

`frames.py`: messages as bytes, pure. No message stands here, and nothing that says who may speak.
"""
