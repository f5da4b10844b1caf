"""The `pull` child: streams that the farm fetches from other servers, as publishers of its own.

`puller.py` has one of them, from its first attempt on; a source (`source.py`) is one connection to
another server, by RTMP (`rtmp_source.py`), SRT (`srt_source.py`) or by libavformat
(`libav_source.py`: RTSP, HLS).
`from_flv.py` and `from_packets.py` make units of what these bring. Rules, limits, stream time and
takeover are the ingests', which are asked as for any publisher.
"""
