"""Trials whose pictures encoder processes encode: real ones, on the host's cores."""

import sys
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from common.config.ladder import Rendition, Template
from common.errors import WorkerError
from tests.kit.waiting import until
from worker.bench import calibrate
from worker.bench.capacity_search import Trial
from worker.bench.clip import generated
from worker.bench.trial_processes import EncoderMate, Team
from worker.bench.trial_runs import Bench
from worker.devices import table
from worker.devices.software.device import SoftBackend
from worker.threads import OwnThreads, SharedThreads

PYTHON = (sys.executable, "-P", "-m")
TEMPLATE = Template(
    "live",
    (
        Rendition("144p", 256, 144, 200_000, preset="p1"),
        Rendition("72p", 128, 72, 80_000, preset="p1"),
    ),
    max_source=(320, 180, 25),
)


@contextmanager
def leader() -> Iterator[tuple[Bench, list[EncoderMate]]]:
    """A bench, and the two encoder processes that it hands pictures over to."""
    mates: list[EncoderMate] = []
    with TemporaryDirectory(prefix="tf-") as folder:
        try:
            mates += [EncoderMate(PYTHON, [], Path(folder), index) for index in range(2)]
            endpoints = [mate.endpoint() for mate in mates]
            bench = Bench(
                SoftBackend("cpu"), OwnThreads(), TEMPLATE, generated(TEMPLATE), endpoints
            )
            try:
                yield bench, mates
            finally:
                bench.end()
        finally:
            for mate in mates:
                mate.end()


def whole_trial(team: Team, streams: int, seconds: float) -> Trial:
    """Return a trial with all its pictures in time: a busy machine may lose some."""
    trials: list[Trial] = []

    def is_whole() -> bool:
        trials.append(team.run(streams, seconds))
        return trials[-1].missing == 0 and trials[-1].p50_ms > 0

    until(is_whole, what="a trial in which no picture is missing", every=0.0)
    return trials[-1]


def test_one_process_scales_what_encoder_processes_encode_and_the_parts_are_one_trial() -> None:
    with leader() as (bench, mates):
        team = Team(bench, mates, encoders=True)
        for streams in (1, 3):
            trial = whole_trial(team, streams, 0.6)
            assert trial.streams == streams
            assert trial.expected >= streams * 12
            assert trial.p50_ms > 0
            assert trial.encode > 0, "CPU time of the encoder processes …"
            assert trial.cores > trial.encode, "… beside the leader's"
        others = psutil.Process().children()
        assert len(others) == 2, "the first streams are closed, and no process was added for more"
    assert not psutil.Process().children()


def test_an_encoder_process_that_ends_is_said_to_have() -> None:
    with leader() as (bench, mates):
        psutil.Process().children()[0].kill()
        with pytest.raises(WorkerError, match="ended"):
            Team(bench, mates, encoders=True).run(1, 0.2)


def test_a_gpu_is_opened_by_one_process_however_many_encode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, bool]] = []
    commands: list[list[str]] = []

    def open_device(
        device: str, encoder_threads: int, share: int, *, shares_pictures: bool
    ) -> table.OpenDevice:
        opened.append((device, shares_pictures))
        return table.OpenDevice(SoftBackend(device), SharedThreads(2, 0), shares_pictures=True)

    def one_trial(team: Team, host_cores: int, seconds: float) -> Trial:
        commands.extend(child.cmdline() for child in psutil.Process().children())
        return whole_trial(team, 2, seconds)

    monkeypatch.setattr(table, "open_device", open_device)
    monkeypatch.setattr(calibrate, "calibrate", one_trial)
    config = tmp_path / "farm.toml"
    config.write_text(
        '[templates.live]\nmax_source = "320x180@25"\n[[templates.live.renditions]]\n'
        'name = "144p"\nwidth = 256\nheight = 144\nbitrate = "200k"\n'
    )
    arguments = Namespace(
        device="GPU-1",
        template="live",
        config=config,
        clip=None,
        seconds=0.4,
        workers=2,
        follow=False,
    )
    result = calibrate.run(arguments)["result"]
    assert opened == [("GPU-1", True)]
    assert len(commands) == 2
    assert all("worker.bench.trial_encoder" in command for command in commands)
    assert (result["trial"]["streams"], result["trial"]["missing"]) == (2, 0)
    assert not psutil.Process().children()
