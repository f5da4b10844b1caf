"""What several hosts of a cluster must agree on.

Here live the digests by which streams are named between hosts. Nothing here knows etcd, a
connection or a process.
"""
