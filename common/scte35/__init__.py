"""SCTE-35: where a programme may be left for something else, and where it goes on.

Pure. Of transport streams and RTMP nothing is known here: a section is bytes.
"""
