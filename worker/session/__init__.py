"""Sessions: one stream and generation each, from its opening to its end, and who does what when.

`session.py` has the life, `pipeline.py` the threads, `picture_path.py` a picture's way to its tags.
A session knows no codec and no device's library: it calls `worker.devices.backend` alone.
"""
