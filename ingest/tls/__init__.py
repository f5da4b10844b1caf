"""The `tls` child: it ends TLS in front of the ingests, and passes bytes on, both ways.

A publisher's or player's connection stays here for its life; an ingest, and for players an egress,
has the other end of a Unix socket. Nothing here knows RTMP: it may not import the rest of ingest,
but for the books of who may connect.
"""
