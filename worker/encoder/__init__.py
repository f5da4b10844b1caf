"""The encoder process: x264 on the host's cores, for workers that have scaled pictures.

`stream.py` has one stream's renditions and their threads, `run.py` the process. It takes pictures
from memory that a worker shares with it, and gives tags to egress; it decodes nothing, has no GPU
library, and lets nothing in that strangers send.
"""
