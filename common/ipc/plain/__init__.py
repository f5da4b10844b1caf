"""Messages over stream sockets: as bytes, and by plain Unix sockets under media links.

`frames.py`: messages as bytes, pure; the link between hosts has them, too. `connection.py`: one
connection. `listener.py`: the plain socket beside a listener's of ZeroMQ. No message stands here:
what is said, who may say it and how much waits is for `common/ipc/media_link.py` and its listener.
"""
