"""SRT as every process speaks it: Debian's libsrt, addresses, and why somebody is refused.

`library.py` calls libsrt, as a listener and as a caller (IO); `installed.py`, `address.py` and
`reject_codes.py` are pure. No stream and no process of the farm is known here.
"""
