"""The commands of `tfarm`: one file each, with the command line's end and the supervisor's.

`table.py` lists them, `cli.py` assembles the command line and `server.py` answers it. Heavy imports
stand inside the functions, so that `tfarm --help` is quick. What a command asks of streams and
devices is done in `supervisor.farm`.
"""
