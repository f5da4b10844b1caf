"""A child kind of its own, for tests: it subscribes to one rendition of one stream.

Nothing outside this folder knows it, but for one entry in the table of kinds, which
`tests/kit/tap_farm.py` adds.
"""
