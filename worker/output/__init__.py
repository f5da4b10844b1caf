"""What a worker sends: coded pictures as numbered tags, to the egresses that want the stream.

`rendition_output.py` has one rendition's tags and its current GOP, `egresses.py` the links. Nothing
is decoded or encoded here, and no session is known.
"""
