"""Rules about pictures: which are taken, hidden, dropped or repeated, and at what times.

Everything here is pure: times and facts in, decisions out. Threads, devices and messages are
`worker/session`'s.
"""
