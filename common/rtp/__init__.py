"""RTP and RTCP as WebRTC has them: payloads, headers, what is kept for repeats, reports.

Pure: bytes and values, without sockets, encryption or a notion of who is at the other end.
"""
