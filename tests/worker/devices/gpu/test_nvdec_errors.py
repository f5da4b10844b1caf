"""The C library's printf comes to the thread that called it. In processes of their own."""

import subprocess
import sys

SCRIPT = """
import ctypes, threading
from worker.devices.gpu.nvdec_errors import damaged_pictures, watch_damage

free, held = ctypes.CDLL(None), ctypes.PyDLL(None)  # without the GIL, and with it
LINE = b"Decode Error occurred for picture %d\\n"
free.printf(b"before\\n")
assert watch_damage() and watch_damage()
assert damaged_pictures() == 0
free.printf(LINE, 7)
held.printf(LINE, 8)
free.printf(b"something %s\\n", b"else")
assert damaged_pictures() == 2
assert damaged_pictures() == 0
start = threading.Barrier(8)
found = {}

def decode(index):
    start.wait()
    for number in range(400):
        (held if index % 2 else free).printf(LINE, number)
        if number % 3 == 0:
            free.puts(b"noise")
        if index == 0 and number == 200:
            found["half"] = damaged_pictures()
    found[index] = damaged_pictures()

threads = [threading.Thread(target=decode, args=(index,)) for index in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
    assert not thread.is_alive(), "a thread waits for ever"
assert found == {"half": 201, 0: 199} | {index: 400 for index in range(1, 8)}, found
assert damaged_pictures() == 0
print("done", flush=True)
"""


def test_damage_is_counted_by_thread_and_other_text_goes_on() -> None:
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.split("\n")
    assert lines[:2] == ["before", "something else"]
    assert result.stdout.count("noise") == 8 * 134
    assert "done" in result.stdout
    assert "Decode Error" not in result.stdout
