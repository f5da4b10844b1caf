"""Captures: the messages a publisher sent, with their times of arrival, as a file.

The format, and what is left of a message where pictures and sound are left out. No files, no
clocks, no sessions: who records is `ingest/capture`, who reads are commands and tests.
"""
