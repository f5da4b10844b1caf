"""How good renditions look, measured while they are made: SSIM and PSNR of keyframes.

`ssim.py` compares, `schedule.py` says when, `floor.py` when a rendition is too bad; all pure.
`measurer.py` has the thread, `tap.py` is what an encoder hands its keyframes to, `coded_luma.py`
decodes them. Nothing here knows a session, a device or a process.
"""
