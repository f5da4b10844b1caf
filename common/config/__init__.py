"""The operator's words: the configuration file's keys, their check, the settings they give.

`settings.py` and `ladder.py` are plain values that every process reads and that cross processes;
`model.py` declares the keys with pydantic and is imported only where a file is read.
No module here does IO but `load.py`, and none knows what a process does with a setting.
"""
