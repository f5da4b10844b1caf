"""What every process does for itself: logs, stage times, time slices, signals, descriptors.

Each module stands alone and imports nothing of the other packages. What crosses processes lives in
`common.ipc`. No knowledge of media lives here.
"""
