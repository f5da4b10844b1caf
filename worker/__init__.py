"""The worker process: it decodes a stream once, and encodes every rendition of its ladder.

`run.py` moves messages on the loop; all work is done by sessions, in threads of their own. No
protocol of publishers or players is known here.
"""
