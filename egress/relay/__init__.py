"""Streams between hosts of a cluster: a process takes what is watched here from who has it.

Where a stream is made, it is an egress that is no home, whose viewers are other hosts: `output.py`
over `feed.py`. Where a stream is played, it sends what ingest and workers send otherwise:
`pulls.py` over `played_stream.py`. `connections.py`: TLS between both. What crosses, and what
becomes of it on a slow link, is in `common/link/`. No viewer comes here, and nothing of a stream is
decided here.
"""
