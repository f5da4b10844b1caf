"""Supplemental enhancement information (SEI) of H.264 and H.265: what rides in front of pictures.

`messages.py` reads and writes the messages of a NAL unit; `user_data.py` has those that a template
passes on, and `utc.py` the stamp that a farm adds. Captions, which AV1 has too, are in
`common/codecs/captions.py`, over `messages.py`. Nothing here does IO.
"""
