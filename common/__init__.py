"""What the processes share: values, formats and protocols, and how processes speak to one another.

A folder a concern; `errors.py` has the exceptions and exit codes of all, `words.py` what people
read of counts, durations and strange text. Nothing here knows ingest, egress, worker or supervisor,
and nothing here decodes.
"""
