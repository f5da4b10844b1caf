"""Optional packages: what is here, whether it works, and what to do where it does not."""

import sys
from pathlib import Path

import pytest

from common import extras
from common.extras import (
    MODULES,
    S3,
    WEBRTC,
    install_words,
    is_installed,
    repair_words,
    why_broken,
)


def test_the_tests_have_what_webrtc_needs() -> None:
    assert is_installed(WEBRTC)
    assert why_broken(WEBRTC) == ""


def test_it_says_what_to_install() -> None:
    assert install_words(WEBRTC) == 'pip install "tfarm[webrtc]"'
    assert repair_words(WEBRTC) == 'pip install --force-reinstall "tfarm[webrtc]"'
    assert set(MODULES) == {WEBRTC, S3}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ImportError('libsrtp2.so.1: no such\\nfile')", "libsrtp2.so.1: no such file"),
        ("raise OSError('invalid ELF header')", "invalid ELF header"),
        ("import ctypes; ctypes.CDLL('/nonexistent.so')", "/nonexistent.so"),
        ("raise AttributeError", "AttributeError"),
        ("import no_such_module_at_all", "no_such_module_at_all"),
    ],
)
def test_a_package_that_cannot_be_loaded_is_installed_and_says_why(
    code: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "tfarm_broken_package"
    (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(extras.MODULES, "broken", (name,))
    assert is_installed("broken")
    is_installed.cache_clear()
    problem = why_broken("broken")
    assert problem.startswith(f"{name} cannot be loaded: ")
    assert words in problem
    sys.modules.pop(name, None)
