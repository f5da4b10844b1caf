"""The `web` child: viewers by HTTP, their listener and what is asked there.

It judges no stream's media: what is sent as one long answer goes on at an egress, to which the
connection is handed over; segments, pages and WebRTC's requests belong to other folders, whose
routes stand in `table.py`.
"""
