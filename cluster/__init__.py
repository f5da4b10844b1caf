"""The cluster child: the one process of a host that talks to etcd.

Here live the keys, this farm's view of the other hosts, the claims of its own streams, and the
machine that keeps them registered; `run.py` alone does IO. Media never comes here, and nothing in
its path waits for this process: where it or etcd is away, streams go on and begin unregistered.
"""
