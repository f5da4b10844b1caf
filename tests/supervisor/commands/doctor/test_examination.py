"""Probes as processes: they answer, fail, crash, hang; `tfarm doctor` on this host."""

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from common.config.settings import Devices, Listen, Settings, Software, TlsSettings
from supervisor.commands.doctor import examination
from supervisor.commands.doctor.diagnosis import text
from supervisor.commands.doctor.examination import ask_child, certificate_problem, examine
from supervisor.hardware.gpus import Driver, Gpu
from tests.kit.certificates import make
from tests.kit.waiting import patient

ROOT = Path(__file__).parents[4]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("import sys; print('boom', file=sys.stderr); sys.exit(7)", "(exit code 7): boom"),
        ("import os; os.kill(os.getpid(), 11)", "(signal 11)"),
        ("print('no json')", "(exit code 0)"),
        ("print('[1]')", "(exit code 0)"),
    ],
)
def test_a_probe_that_gives_no_answer_says_how_it_ended(code: str, error: str) -> None:
    answer = ask_child(python(code), dict(os.environ), 20)
    assert answer["error"].startswith("its process ended without an answer")
    assert error in answer["error"]


def test_the_last_line_is_the_answer_whatever_a_driver_prints_before() -> None:
    answer = ask_child(python("print('hello'); print('{\"a\": 1}')"), dict(os.environ), 20)
    assert answer == {"a": 1}


def test_a_probe_that_hangs_is_killed_with_its_children() -> None:
    code = (
        "import subprocess, sys, time;"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
        "time.sleep(60)"
    )
    begin = time.monotonic()
    assert ask_child(python(code), dict(os.environ), 0.5) == {"error": "no answer within 0.5 s"}
    assert time.monotonic() - begin < patient(10)


def test_gpus_are_tried_only_if_wanted_and_only_with_their_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gpus = tuple(Gpu(f"GPU-{n}", f"00000000:6{n}:00.0", "NVIDIA L4", 1) for n in (5, 6))
    monkeypatch.setattr(examination, "look_up_driver", lambda: Driver("580.1", 13000, gpus=gpus))
    monkeypatch.setattr(examination, "GPU_PACKAGES", ("no_such_package",))
    asked: list[list[str]] = []

    def answers(command: list[str], environ: dict[str, str], timeout_s: float) -> dict[str, str]:
        if "--device" in command:
            asked.append([*command[4:6], environ["CUDA_VISIBLE_DEVICES"]])
        return {"error": "not today"}

    monkeypatch.setattr(examination, "ask_child", answers)
    settings = Settings(devices=Devices(exclude=("65:00.0",)), software=Software(workers=0))
    found = examine(settings)
    assert asked == []  # no round on cores that are not used
    unfit_by = [device.unfit_by for device in found.devices]
    assert unfit_by == ["software.workers = 0", "devices.exclude", ""]
    assert found.devices[2].problem == "packages missing: no_such_package"
    monkeypatch.setattr(examination, "GPU_PACKAGES", ())
    examine(settings)
    assert asked[-1] == ["--device", "GPU-6", "GPU-6"]
    without = examine(Settings(devices=Devices(use_gpus=False)))
    assert without.devices[1:] == ()
    assert "NVIDIA driver: none (not looked for: devices.use_gpus = false)" in text(without)
    assert asked[-1] == ["--device", "cpu", ""]


@pytest.mark.e2e
def test_tfarm_doctor_tries_the_cores_for_real(tmp_path: Path) -> None:
    config = tmp_path / "farm.toml"
    config.write_text("[devices]\nuse_gpus = false\n")
    arguments = ["doctor", str(config), "--json", "--seconds", "0.3", "--run-dir", str(tmp_path)]
    answer = subprocess.run(
        [*python("from supervisor.commands.line.cli import main; main()"), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    (cpu,) = found["devices"]
    assert found["usable"]
    assert found["sandbox"] == {"used": True, "lacks": [], "problems": ""}
    assert (cpu["name"], cpu["used_as"]) == ("cpu", "software")
    assert cpu["report"]["round_fps"] > 0
    assert cpu["report"]["versions"]["libx264"].isdecimal()
    config.write_text("[devices]\nuse_gpu = false\n")
    bad = subprocess.run(
        [*python("from supervisor.commands.line.cli import main; main()"), "doctor", str(config)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert bad.returncode == 2
    assert "devices.use_gpu: is no known key" in bad.stderr


def test_a_certificate_is_looked_at_where_tls_is_taken(tmp_path: Path) -> None:
    one, two = make(tmp_path, "one", days=20), make(tmp_path, "two")

    def problem(certificate: Path, key: Path, days: float = 0.0) -> str:
        tls = TlsSettings(str(certificate), str(key))
        settings = replace(Settings(), listen_tls=Listen(), tls=tls)
        return certificate_problem(settings, time.time() + days * 86_400)

    assert certificate_problem(Settings(), time.time()) == ""
    assert problem(one.certificate, one.key) == ""
    assert "in 12 days" in problem(one.certificate, one.key, days=7.5)
    assert "ended on" in problem(one.certificate, one.key, days=21)
    assert "does not fit the certificate" in problem(one.certificate, two.key)
    assert "No such file" in problem(one.certificate, tmp_path / "none")
    named = (("a.example", str(tmp_path / "a.pem")),)
    tls = TlsSettings(str(two.certificate), str(two.key), named=named)
    settings = replace(Settings(), listen_tls=Listen(), tls=tls)
    assert "a.pem: No such file" in certificate_problem(settings, time.time())
