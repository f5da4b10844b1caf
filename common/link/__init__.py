"""The link between two hosts of a cluster, without sockets: what is said, and its ends' state.

`messages.py`: what the frames of `common/ipc/plain/` say, and which of it may be. `serving.py`
over `backlog.py`: the end where a stream is made. `pulling.py`: the end where it is played.
Everything is pure; TLS, connections and the farms at both ends belong elsewhere.
"""
