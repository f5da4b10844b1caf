"""The command line itself: what a command is, how it is called, asked and answered.

No command is here but `help`: the others stand beside this folder.
"""
