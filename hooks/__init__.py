"""The hooks child: it asks and tells the apps' hooks, by HTTP.

Here live the queues of what is to be sent, the form of what is sent and of what is answered, and
the HTTP client. Nothing of what an answer brings about is decided here: ingest and egress do that.
"""
