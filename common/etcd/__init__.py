"""Talks to etcd by its JSON gateway.

Here live the form of requests and answers, which is pure, and a client over HTTP, which is the one
module here that does IO. Nothing here knows what the keys are for: that is the cluster child's.
"""
