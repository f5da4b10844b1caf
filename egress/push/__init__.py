"""The `push` child: renditions on their way to others' servers.

`push.py` says when one is called and called again (pure). `targets.py` is the table of protocols:
a target takes a rendition and brings it to one address. `output.py` has all pushes, as an output of
an egress that is no stream's home; `run.py` is the process.
"""
