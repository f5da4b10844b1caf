"""The ingest process: takes publishers in, and gives their media to workers and egresses.

A folder a protocol (`rtmp`), `streams` for what becomes of a publisher whatever its protocol, and
`outputs` for what other processes are sent. It decodes nothing and imports no other process.
"""
