"""The egress process: takes FLV tags from ingests and workers, and gives them to viewers.

What comes in and is kept lives in `egress.streams`, who may have it in `egress.access`, and each
protocol that viewers speak in a folder of its own, which is an `egress.output.Output`. No picture
is decoded here, and nothing outside a protocol's folder knows that protocol.
"""
