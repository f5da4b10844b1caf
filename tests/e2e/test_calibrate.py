"""`tfarm calibrate` on this host's cores, and a farm that goes by what it wrote."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from common.config import load as config
from tests.kit.clients import Publisher
from tests.kit.clips import ClipSpec
from tests.kit.farm import Farm, tfarm
from tests.kit.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.busy]

MakeClip = Callable[[ClipSpec], Path]

# Few frames, dear ones: a machine finds its limit with few streams, and a frame lasts long.
TEMPLATE = """
[templates.live]
max_source = "960x540@5"

[[templates.live.renditions]]
name = "540p"
width = 960
height = 540
bitrate = "1M"
preset = "p7"
"""


def calibrate(*arguments: object, timeout: float = 60.0) -> "subprocess.CompletedProcess[str]":
    return tfarm("calibrate", *map(str, arguments), timeout=timeout)


def test_the_cores_are_measured_and_the_file_is_a_configuration(tmp_path: Path) -> None:
    farm, out = tmp_path / "farm.toml", tmp_path / "calibration.toml"
    farm.write_text(f'include = ["calibration.toml"]\n[devices]\nuse_gpus = false\n{TEMPLATE}')
    out.write_text("")
    answers: list[subprocess.CompletedProcess[str]] = []

    def is_calibrated() -> bool:
        """On a busy machine even one stream may not be in real time, for a while."""
        options = ("--seconds", 1, "--out", out, "--run-dir", tmp_path / "run")
        answers.append(calibrate(farm, *options))
        return "nothing was calibrated" not in answers[-1].stderr

    until(is_calibrated, 45, "one stream is in real time")
    answer = answers[-1]
    assert answer.returncode == 0, answer.stderr
    assert "real time" in answer.stderr
    assert "source 960x540@5" in answer.stdout
    settings = config.load(farm)
    (measured,) = settings.calibration
    assert (measured.device, measured.template, measured.path.value) == ("cpu", "live", "software")
    assert measured.streams >= 1
    assert measured.encode > measured.decode > 0
    assert settings.software.capacity is not None
    assert settings.software.capacity >= measured.streams * measured.load - 1e-6


def test_it_refuses_while_streams_run_there(tmp_path: Path, clip: MakeClip) -> None:
    with Farm() as farm, Publisher(farm.url("a"), clip(ClipSpec(seconds=16.0))):
        farm.wait_stream("a")
        answer = calibrate(farm.config, "--run-dir", farm.run_dir, "--out", tmp_path / "out.toml")
        assert answer.returncode == 1
        assert "1 streams run on cpu:0" in answer.stderr
    assert not (tmp_path / "out.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--device", "GPU-nobody"), "there is no device GPU-nobody; there are: cpu"),
        (("--template", "tv"), "no template tv with renditions"),
    ],
)
def test_what_is_not_there_is_said(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    config_file = tmp_path / "farm.toml"
    config_file.write_text("[devices]\nuse_gpus = false\n")
    answer = calibrate(config_file, *arguments, "--run-dir", tmp_path)
    assert answer.returncode == 1
    assert words in answer.stderr


def test_a_clip_that_is_none_is_said_and_nothing_written(tmp_path: Path) -> None:
    clip, out = tmp_path / "clip.mp4", tmp_path / "out.toml"
    clip.write_text("no clip")
    config_file = tmp_path / "farm.toml"
    config_file.write_text(f"[devices]\nuse_gpus = false\n{TEMPLATE}")
    answer = calibrate(
        config_file, "--clip", clip, "--out", out, "--run-dir", tmp_path, "--seconds", 1
    )
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Invalid value for --clip" in answer.stderr
    assert "cannot be read" in answer.stderr
    assert not out.exists()
    answer = calibrate(config_file, "--out", tmp_path / "none" / "out.toml", "--run-dir", tmp_path)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "Invalid value for --out" in answer.stderr
