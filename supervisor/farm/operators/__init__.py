"""What an operator does with a running farm: ends, bans, drains, reloads.

Words for people are made here, of what the machines beside this folder say. Nothing here places a
stream itself.
"""
