"""`tfarm demo`: a farm with a publisher of its own, and a picture that shows it works.

It draws, encodes and publishes by RTMP like any encoder would. No other part of the supervisor
imports a codec or RTMP, and only the table of commands imports this folder.
"""
