"""The last messages of every publisher, in memory, and as a file when something goes wrong.

What is kept and when it is written is decided in pure modules; `files.py` has the thread and the
disk. Streams know no more of it than `ingest/streams/captures.py`.
"""
