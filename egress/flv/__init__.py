"""Streams as FLV by HTTP: one endless answer, whose viewers are in the groups of RTMP's players.

Who watches is decided as for RTMP (`egress/entrance.py`), since the connection comes from the `web`
child before anybody has judged it. FLV's tags are the only thing that is made here.
"""
