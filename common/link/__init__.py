"""The link between two hosts of a cluster, without sockets: its frames, and the state of its ends.

`frames.py`: bytes on the wire. `messages.py`: what they say, and which of it may be. `serving.py`
over `backlog.py`: the end where a stream is made. `pulling.py`: the end where it is played.
Everything is pure; TLS, connections and the farms at both ends belong elsewhere.
"""
