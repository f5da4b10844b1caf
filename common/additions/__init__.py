"""What requests add to a running farm's configuration: streams that are fetched, and pushes.

Here is how such a request is written and read, on both ends of it. Who adds it, and how long it
holds, is the supervisor's (`supervisor/additions/`). Pure.
"""
