"""`tfarm calibrate`: how many streams each device keeps, measured.

The rounds run in processes of the device (`worker/bench`); here they are started and read.
"""
