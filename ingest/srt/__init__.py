"""The `srt` child: publishers by SRT, whose MPEG transport streams go to ingests as units.

`listener.py` has libsrt, over `common/srt/`; `publisher.py` and `viewer.py` one caller.
`stream_name.py`, `newcomers.py` and `to_units.py` are pure. Who may publish is an
ingest's to say. No codec library is loaded here.
"""
