"""RTMP without IO, both ends of it: bytes and the time go in, events and bytes to send come out.

`session.py` is the server's side of a connection, `client.py` the other one; docs/rtmp.md says what
peers do. No sockets but in `blocking_client.py`, no settings, and no decision who may publish or
play. Only folders named `rtmp` and the demo import this.
"""
