"""How the processes of a farm speak to one another.

Here live the messages and the envelope they cross in, ZeroMQ and the links over it, the identities
and kinds of children, and the shell that all children share. Nothing here knows RTMP, a codec or
what a farm decides, and nothing is imported of a process's own package.
"""
