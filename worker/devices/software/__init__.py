"""The host's cores as a device: libavcodec decodes, libswscale scales, libx264 encodes.

PyAV is called here, in `worker/devices/gpu`, `worker/audio` and `worker/bench`, nowhere else in the
worker. A GPU without an encoder uses the encoder of this folder.
"""
