"""Whether a stream may begin here: what a farm has to know of other hosts.

`registry.py` says what is asked and answers for a farm that is alone. `etcd.py` asks the cluster
child, and is imported only where there is one. Nothing here places a stream: admission does.
"""
