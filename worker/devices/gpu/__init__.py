"""An NVIDIA GPU as a device: NVDEC decodes, one kernel scales, NVENC or libx264 encodes.

CUDA's packages are imported here alone, and only inside the functions that use them: they raise on
a machine without a driver. docs/gpu-internals.md tells how the parts work together.
"""
