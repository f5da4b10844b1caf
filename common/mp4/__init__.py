"""Fragmented MP4 (ISO/IEC 14496-12): what browsers play by Media Source Extensions, and HLS takes.

One file for the boxes, one for the initialisation segment, one for fragments, and over them
a muxer of live units. Nothing here does IO, or knows a protocol, a process or FLV.
"""
