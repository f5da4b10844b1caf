"""The `record` child: renditions on their way to files.

`recorder.py` decides when a file begins and ends, over `recorded_file.py`, which makes its bytes,
and `names.py`, which says what files are called and which are removed (all pure). `disk.py` writes.
`output.py` has all recordings, as an output of an egress that is no stream's home; `run.py` is the
process.
"""
