"""Who may publish and play, in words that no protocol owns.

Here live the reasons of refusals, the check of keys, and what one address may have. No protocol's
status codes, no sockets, no settings files: each protocol maps a `RefusalReason` at its own edge.
"""
