"""WebRTC for viewers (WHEP): sessions, what each is sent, and the one UDP port of all.

What is sent is made once for each rendition. No decoder or encoder lives here; what a viewer may
watch is `egress.access`'s to say. Without the packages of `tfarm[webrtc]` all but the shell works.
"""
