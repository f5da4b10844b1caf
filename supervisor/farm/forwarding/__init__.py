"""What the farm passes on between its children: routes, requests, uses, counts, captures.

Each module knows one kind of message, from whom it may come and who gets it. None decides where a
stream is served.
"""
