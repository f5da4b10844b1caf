"""Live streams over HTTP: viewers handed over by the API, and fragmented MP4 to them.

All viewers of a rendition are one subscriber of it, so that a fragment is made once for all of
them, and nothing is made where nobody watches. Who may watch is decided by the API.
"""
