"""What one stream sends to its workers and to the egresses, and what is dropped where one is slow.

Units go to workers as they are, to egresses as FLV tags, which are made here. Pure but for
`links.py`, which has the sockets; nothing here decides about a stream's life.
"""
