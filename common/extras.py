"""What of tfarm's optional packages is installed here, and works: `pip install "tfarm[webrtc]"`."""

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final

WEBRTC: Final = "webrtc"
S3: Final = "s3"
# By extra, the modules that are imported of it; the first tells if it is installed.
MODULES: Final = {WEBRTC: ("aiortc", "pylibsrtp"), S3: ("obstore",)}


@cache
def is_installed(extra: str) -> bool:
    """Whether an extra's packages are here; nothing is imported to find out."""
    return find_spec(MODULES[extra][0]) is not None


def why_broken(extra: str) -> str:
    """Import an extra's packages, and say which cannot be and why; "": all of them can.

    A native library of theirs may be missing, or made for another processor or another Python.
    """
    for name in MODULES[extra]:
        try:
            import_module(name)
        except Exception as error:
            words = " ".join(str(error).split()) or type(error).__name__
            return f"{name} cannot be loaded: {words[:300]}"
    return ""


def install_words(extra: str) -> str:
    """What to do to have it."""
    return f'pip install "tfarm[{extra}]"'


def repair_words(extra: str) -> str:
    """What to do where it is broken."""
    return f'pip install --force-reinstall "tfarm[{extra}]"'
