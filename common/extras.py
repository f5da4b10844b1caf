"""What of tfarm's optional packages is installed here: `pip install "tfarm[webrtc]"`. Pure.

Nothing is imported to find out.
"""

from functools import cache
from importlib.util import find_spec
from typing import Final

WEBRTC: Final = "webrtc"
MODULES: Final = {WEBRTC: "aiortc"}


@cache
def is_installed(extra: str) -> bool:
    """Whether an extra's packages are here."""
    return find_spec(MODULES[extra]) is not None


def install_words(extra: str) -> str:
    """What to do to have it."""
    return f'pip install "tfarm[{extra}]"'
