"""Who may publish, and where: requests, what can be done with one, sources that become known.

`publish_requests.py` is the machine, `candidates.py` what it chooses from. What happens to streams
that run is decided elsewhere.
"""
