"""MPEG-2 transport streams (ISO/IEC 13818-1), as contribution encoders send them. Pure.

`demuxer.py` takes packets and gives the PES packets of one program's first picture and sound;
`program.py` reads the tables that name them. No codec is known here but by its stream type.
"""
