"""`tfarm replay`: a capture published again, and what the farm says of it.

`command.py` has the command line's end, `publisher.py` the sending, `verdict.py` the words. No
capture is written here.
"""
