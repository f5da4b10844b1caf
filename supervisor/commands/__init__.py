"""The commands of `tfarm`: one file each, with the command line's end and the supervisor's.

`table.py` lists them. A folder is a command of several files (`status`, `doctor` and others), or
what commands have in common: `line`, the command line itself, and `terminal`. Heavy imports stand
inside the functions, so that `tfarm --help` is quick. What a command asks of streams and devices is
done in `supervisor.farm`.
"""
