"""What becomes of streams, workers and requests: the supervisor's decisions.

Here live the farm state (its streams and workers), the machines that decide on it, and the
`Action`s that they have the shell do. All of it is pure: messages and the time come in, actions go
out, and a test runs it in virtual time. No sockets, processes or clocks live here, and nothing is
imported of `supervisor.processes`, `supervisor.commands` or `supervisor.hardware` that does IO.
"""
