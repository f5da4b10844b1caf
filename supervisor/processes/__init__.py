"""Children as processes: which there are, their states, adoption, watchdog, run directory, control.

States and decisions are pure (`lifecycle.py`, `hellos.py`, `worker_counts.py`); what spawns,
signals and listens stands beside them. Nothing here knows streams: what a child's coming and going
means for them is `supervisor.farm`'s.
"""
