"""The `https` child: the process of `ingest/tls/` once more, for viewers by HTTP with TLS.

It has a listener of its own, and its clients go to the `web` child. Nothing else belongs here.
"""
