"""common/process/crash_report.py: which thread a process died in."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.process.crash_report import MAX_WHERE, CrashReport, path_of, read, take

ROOT = Path(__file__).parents[3]
# Other threads run; one says who it is, and goes down in C without the GIL or with it.
PROGRAM = """
import ctypes, os, sys, threading, time
from pathlib import Path
from common.process import crash_report

crash_report.begin(Path(sys.argv[1]))

def dies():
    print(threading.get_ident(), flush=True)
    {death}

for _ in range(5):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
other = threading.Thread(target=dies)
other.start()
other.join()
"""
DEATHS = {
    "with the GIL": "ctypes.string_at(0)",
    "without it": "ctypes.CDLL(None).strlen(ctypes.c_void_p(1))",
    "SIGABRT": "os.abort()",
}

DUMP = """Fatal Python error: Segmentation fault

Thread 0x00007f00000000aa (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 324 in wait

Current thread 0x00007f1c2b7fe640 (most recent call first):
  File "/opt/tfarm/worker/devices/software/decode.py", line 81 in decode
  File "/opt/tfarm/worker/session/decode_stage.py", line 100 in run

Extension modules: av._core (total: 1)
"""


@pytest.mark.parametrize("death", DEATHS)
def test_a_process_leaves_which_of_its_threads_it_died_in(death: str, tmp_path: Path) -> None:
    program = PROGRAM.replace("{death}", DEATHS[death])
    process = subprocess.Popen(
        [sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    out, _ = process.communicate(timeout=30)
    assert process.returncode in (-signal.SIGSEGV, -signal.SIGABRT)
    report = take(tmp_path, process.pid)
    assert report is not None
    assert report.thread == int(out)
    assert report.where
    assert take(tmp_path, process.pid) is None, "it is removed"


def test_one_that_ends_leaves_nothing_to_say(tmp_path: Path) -> None:
    program = PROGRAM.replace("{death}", "")
    subprocess.run([sys.executable, "-c", program, tmp_path], cwd=ROOT, check=True, timeout=30)
    (left,) = tmp_path.iterdir()
    assert take(tmp_path, int(left.name.removeprefix("crash-"))) is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "report"),
    [
        (DUMP, CrashReport(0x7F1C2B7FE640, "devices/software/decode.py:81 decode")),
        ("Current thread 0x1 (most recent call first):\n  <no Python frame>\n", CrashReport(1)),
        ("", None),
        ("Fatal Python error: Aborted\n\nThread 0x1 (most recent call first):\n", None),
        ("Current thread 0x (most\n", None),
        ("Current thread 0x11112222333344445 (most\n", None),
    ],
)
def test_what_faulthandler_says_is_read(text: str, report: CrashReport | None) -> None:
    assert read(text) == report


@given(st.text())
def test_whatever_stands_there_is_no_harm(text: str) -> None:
    for said in (text, DUMP + text, f'Current thread 0x1f (x):\n  File "{text}", line 1 in {text}'):
        report = read(said)
        assert report is None or len(report.where) <= MAX_WHERE


def test_a_link_in_its_place_leads_nowhere(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(DUMP)
    path_of(tmp_path, 1).symlink_to(secret)
    assert take(tmp_path, 1) is None
