"""A publisher's stamps, and what they are made of: the stream's time. Pure.

`source_times.py` puts it together: `source_clock.py` finds clocks that cannot be believed, over
`source_kind.py`, `stamp_pace.py`, `pace_marks.py` and `arrival_times.py`; `frame_spread.py` spreads
sound whose frames share a time; `timeline.py` lays all on the stream's time. Stamps, arrivals and
the rate that is announced are all that is known here: no stream, no admission and no output.
"""
