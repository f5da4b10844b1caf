"""A child in place of the cluster child, for tests: who has which stream stands in a file.

`tests/kit/registry_farm.py` adds it to the table of kinds.
"""
