"""WebRTC without media: what those who watch (WHEP) and those who publish (WHIP) have in common.

SDP offers, STUN as ICE-lite has it, DTLS, and the one UDP port of a process with its handover. What
is sent or received is elsewhere. Without the packages of `tfarm[webrtc]` `dtls.py` cannot be
imported.
"""
