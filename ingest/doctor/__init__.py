"""The publisher's doctor: what is wrong with a source by what arrives of it, and what to set.

`source_counts.py` is told of each picture and frame of sound, `source_figures.py` makes the figures
of each second, `source_rules.py` is the table of rules. Nothing here decodes, sends or logs.
"""
