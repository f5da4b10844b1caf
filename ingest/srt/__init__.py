"""The `srt` child: publishers by SRT, whose MPEG transport streams go to ingests as units.

`listener.py` has Debian's libsrt, over `library.py`, which calls it; `publisher.py` one caller.
`stream_name.py`, `reject_codes.py`, `to_units.py` and `question.py` are pure. Who may publish is an
ingest's to say. No codec library is loaded here.
"""
