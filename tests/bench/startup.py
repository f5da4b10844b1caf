"""From exec to the first accepted publisher, and what `tfarm --help` takes (warm disk cache)."""

import socket
import statistics
import subprocess
import time

from common.errors import TfarmError
from common.rtmp.blocking_client import RtmpPublisher
from tests.bench.memory import BUILT_IN
from tests.bench.report import Bench, Figure
from tests.kit.farm import TFARM, Farm


def accepted_s() -> float:
    """The first publisher that is let in, tried again and again from the start on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    farm = Farm(BUILT_IN.replace(":0", f":{port}"), standbys=True)
    began = time.monotonic()
    with farm.log_path.open("ab") as log:
        farm.process = subprocess.Popen(
            [TFARM, "supervisor", farm.config, "--run-dir", farm.run_dir],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        while True:
            try:
                with RtmpPublisher(f"rtmp://127.0.0.1:{port}/live/cam", 5):
                    return time.monotonic() - began
            except (TfarmError, OSError):
                assert time.monotonic() - began < 20, farm.log()
                time.sleep(0.01)
    finally:
        farm.stop()


def help_s() -> float:
    began = time.monotonic()
    subprocess.run([TFARM, "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def run(bench: Bench) -> None:
    accepted_s()  # warms the disk cache
    taken = statistics.median(accepted_s() for _ in range(bench.runs))
    bench.add(Figure("start to the first accepted publisher", taken, "s", 1.5))
    taken = statistics.median(help_s() for _ in range(bench.runs))
    bench.add(Figure("tfarm --help", taken, "s", 0.25))
