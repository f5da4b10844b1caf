"""A stream's sound in the form that an output can carry, coded once for all who need that one.

An output says which sound it carries; what is beyond that is coded by the sound child. Nothing here
knows an output, and nothing waits: pictures and other sound go on, whatever becomes of it.
"""
