"""The `upload` child: finished recordings on their way to a bucket.

`backlog.py` decides which file is sent and when it is tried again, `objects.py` says what objects
are called, `credentials.py` reads who signs, `failures.py` puts a server's words into ours (all
pure). `folders.py` looks which files there are, `bucket.py` sends them; `run.py` is the process.
"""
