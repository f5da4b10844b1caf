"""`tfarm doctor`: what this host can do, tried, and what that means.

A device is tried in a process of its own, which may die; conclusions are pure (`diagnosis.py`).
"""
