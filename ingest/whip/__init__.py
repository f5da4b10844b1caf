"""The `whip` child: publishers by WebRTC (WHIP, RFC 9725), as units for an ingest.

It has their UDP port, their sessions and their packets; who may publish is the ingest's to say, and
requests come by the `web` child. Without the packages of `tfarm[webrtc]` all but the shell works.
"""
