"""The audio child: it decodes a sample of each stream's sound now and then, and tells its level.

It is asked for by a template's `audio_levels`. `run.py` moves messages, `decode.py` decodes;
what is sampled when, and what a level means, is pure. Its death costs nothing but what it tells.
"""
