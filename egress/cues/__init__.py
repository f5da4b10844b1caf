"""Cue points of a stream: what a publisher says by `onCuePoint`, and how HLS playlists have it.

Nothing here does IO, or knows who watches.
"""
