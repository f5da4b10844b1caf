"""common/process/descriptors.py, in processes of their own: a limit lowered stays so."""

import resource
import subprocess
import sys

import pytest

from common.process.descriptors import UNLIMITED, raise_limit

PROGRAM = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
from common.process.descriptors import raise_limit
print(raise_limit({most}), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(("soft", "hard"), [(64, 200), (200, 200)])
def test_the_soft_limit_is_raised_to_the_hard_one(soft: int, hard: int) -> None:
    program = PROGRAM.format(soft=soft, hard=hard, most="")
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert answer.stdout.split() == [b"200", b"200", b"200"]


@pytest.mark.parametrize(("most", "limit"), [(100, b"100"), (64, b"64"), (300, b"200")])
def test_who_needs_few_gets_no_more_for_good(most: int, limit: bytes) -> None:
    program = PROGRAM.format(soft=64, hard=200, most=most)
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert answer.stdout.split() == [limit] * 3


def test_unlimited_is_a_number_too(monkeypatch: pytest.MonkeyPatch) -> None:
    infinite = resource.RLIM_INFINITY
    monkeypatch.setattr(resource, "getrlimit", lambda _: (infinite, infinite))
    assert raise_limit() == UNLIMITED
