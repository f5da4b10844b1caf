"""A worker's encoder processes, as its loop knows them: which one has a stream, and what is there.

`choice.py` says which one takes a stream, `encoded_stream.py` has the state of a stream there,
`processes.py` the links. Nothing here decodes, scales or encodes; a session is what gets calls.
"""
