"""Device memory of a 1080p stream with three renditions, and over many openings and closings.

    python -m tests.bench.gpu_memory [--rounds 200]

A round opens decoder, scaler and three encoders, codes a few frames, and closes all of it. With
the NVENC simulator's folder on LD_LIBRARY_PATH the encoders are its; what a real driver session
takes on the device is not in the figure then.
"""

import argparse
import gc
import time

from tests.worker.devices.gpu.test_device_memory import Session, coded_1080p
from worker.devices.gpu.device import GpuBackend

MIB = 1024**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    device = GpuBackend("")
    coded = coded_1080p(3)
    print(f"{device.info.label}, {device.info.path.value}: {'; '.join(device.info.notes)}")
    for _ in range(3):
        session = Session(device, coded)
        session.run()
        session.close()
    del session
    gc.collect()
    settled, _ = device.context.memory()
    sessions = [Session(device, coded) for _ in range(8)]
    for open_one in sessions:
        open_one.run()
    open_free, _ = device.context.memory()
    for open_one in sessions:
        open_one.close()
    del open_one
    sessions.clear()
    gc.collect()
    after, _ = device.context.memory()
    print(
        f"a stream: {(settled - open_free) / 8 / MIB:.1f} MiB with 8 open; "
        f"kept by the pool after closing {(settled - after) / MIB:.1f} MiB"
    )
    lowest, highest = after, after
    begin = time.perf_counter()
    for _ in range(rounds):
        session = Session(device, coded)
        session.run()
        session.close()
        del session
        gc.collect()
        free, _ = device.context.memory()
        lowest, highest = min(lowest, free), max(highest, free)
    each = (time.perf_counter() - begin) / rounds * 1000
    print(
        f"{rounds} rounds of {each:.0f} ms: free memory within {(highest - lowest) / MIB:.1f} MiB, "
        f"{(after - free) / MIB:+.1f} MiB at the end"
    )


if __name__ == "__main__":
    main()
