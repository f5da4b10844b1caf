"""Which renditions of a stream are made: those that somebody plays, or that always are.

What egresses report comes in, names of renditions go out. No IO, and nothing of how they are made.
"""
