"""How many streams of a template a device keeps in real time (IO: processes, codecs).

`python -P -m worker.bench.calibrate --device cpu|UUID --template APP [--config FILE] [--clip FILE]
[--seconds S] [--workers N]` runs real sessions (`trial_runs.py`), in as many processes as a farm
would have workers (`trial_processes.py`); where encoder processes encode, in one, and N of those.
On stdout a JSON object a line: `{"trial": …}` for each
trial, `{"result": …}` or `{"error": why}` at the end. `capacity_search.py` has the search.
"""

import argparse
import logging
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from common.config.ladder import Pipeline
from common.config.settings import Settings
from common.errors import ConfigError, ExitCode, WorkerError
from common.ipc.identity import CPU
from worker.bench.capacity_search import CapacitySearch, Trial, confirmations
from worker.bench.clip import generated, read_clip
from worker.bench.trial_processes import EncoderMate, Mate, Team, follow, say
from worker.bench.trial_runs import Bench

PYTHON: Final = (sys.executable, "-P", "-m")
MateT = TypeVar("MateT", bound=Mate)

SEARCH_SHARE = 6  # a trial of the search takes this part of a confirming one …
SEARCH_RANGE_S = (2.0, 10.0)  # … between these, and never more than the whole


def calibrate(team: Team, host_cores: int, seconds: float) -> Trial | None:
    """The largest trial that keeps real time, confirmed; None when not even one stream does."""
    low, high = SEARCH_RANGE_S
    short_s = min(seconds, max(low, min(high, seconds / SEARCH_SHARE)))
    search = CapacitySearch(host_cores)
    while (streams := search.next()) is not None:
        trial = team.run(streams, short_s)
        say({"trial": asdict(trial)})
        search.observe(trial)
    for streams in confirmations(search.found):
        trial = team.run(streams, seconds)
        say({"trial": asdict(trial)})
        if trial.keeps_real_time:
            return trial
    return None


def run(arguments: argparse.Namespace) -> dict[str, Any]:
    """The answer. Raises WorkerError, ConfigError, ValueError (no such template, bad clip)."""
    from common.config.load import load
    from worker.devices.table import open_device

    settings = load(arguments.config) if arguments.config is not None else Settings()
    template = settings.template(arguments.template)
    if template is None or not template.renditions:
        raise ValueError(f"no template with renditions is called {arguments.template}")
    clip = read_clip(arguments.clip) if arguments.clip is not None else generated(template)
    workers = max(1, arguments.workers)
    shares_pictures = arguments.device != CPU or settings.software.encoder_processes
    device = open_device(
        arguments.device,
        settings.software.encoder_threads,
        workers,
        shares_pictures=shares_pictures,
    )
    backend = device.backend
    if arguments.follow:
        follow(Bench(backend, device.threads, template, clip), sys.stdin)
        return {}
    if backend.info.path is Pipeline.GPU_ONLY:
        workers = 1
    host_cores = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        if device.shares_pictures:
            mates = _encoders(stack, workers, settings.software.encoder_threads)
            endpoints = [mate.endpoint() for mate in mates]
            bench = Bench(backend, device.threads, template, clip, endpoints)
            team = Team(bench, mates, encoders=True)
        else:
            command = [*PYTHON, "worker.bench.calibrate", *sys.argv[1:], "--follow"]
            bench = Bench(backend, device.threads, template, clip)
            team = Team(bench, [_mate(stack, Mate(command)) for _ in range(workers - 1)])
        stack.callback(bench.end)
        trial = calibrate(team, host_cores, arguments.seconds)
    result = {
        "path": backend.info.path.value,
        "label": backend.info.label,
        "source": [clip.width, clip.height, max(1, round(clip.fps))],
        "host_cores": host_cores,
        "trial": asdict(trial) if trial is not None else None,
    }
    return {"result": result}


def _encoders(stack: ExitStack, count: int, threads: int) -> list[EncoderMate]:
    """Start encoder processes; they share the host's cores."""
    run_dir = Path(stack.enter_context(TemporaryDirectory(prefix="tfarm-")))
    options = ["--threads", str(threads), "--share", str(count)]
    return [_mate(stack, EncoderMate(PYTHON, options, run_dir, index)) for index in range(count)]


def _mate(stack: ExitStack, mate: MateT) -> MateT:
    stack.callback(mate.end)
    return mate


def main() -> int:
    parser = argparse.ArgumentParser(prog="worker.bench.calibrate", description=__doc__)
    parser.add_argument("--device", required=True, help="cpu, or a GPU's UUID")
    parser.add_argument("--template", required=True)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--clip", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=1, help="processes, where the host encodes")
    parser.add_argument("--follow", action="store_true", help="one of them, ordered by stdin")
    arguments = parser.parse_args()
    from worker.devices.table import prepare_device

    prepare_device(arguments.device)
    logging.disable(logging.WARNING)
    try:
        say(run(arguments))
    except (WorkerError, ConfigError, ValueError) as error:
        say({"error": str(error)})
        return ExitCode.FAILED
    return ExitCode.OK


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads and drivers are not taken apart
