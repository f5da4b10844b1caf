"""The api child: what an operator asks by HTTP, the metrics and the page.

`operations.py` lists what can be asked, `access.py` says by whom; answers are made of the status
document, pure. `server.py` and `farm_link.py` do the IO, and `run.py` joins them. Nothing here
knows a stream's media; its death costs nothing but its answers.
"""
