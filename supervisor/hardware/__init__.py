"""The GPUs of this host: what there are, what people call them, and whether one is lost.

NVML and /sys are asked here and nowhere else in the supervisor. Nothing here opens a device or
imports a codec: that is a worker's. What follows for streams is `supervisor.farm`'s.
"""
