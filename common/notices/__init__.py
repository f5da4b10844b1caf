"""Notices about a source: rules over figures of each second, with hysteresis, in any process.

What the figures are, and the table of rules, is their process's own (`ingest/doctor/`,
`worker/session/`). Nothing here looks at media or at a clock.
"""
