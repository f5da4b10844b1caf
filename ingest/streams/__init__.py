"""Streams, whoever publishes them and by which protocol: who may, their time, life and last GOP.

Pure: units of `common.media` and the time come in; messages go out through the senders it is
given. No protocol, no container and no socket is known here.
"""
