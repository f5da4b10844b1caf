"""Whether Debian's libsrt is installed here, and what to do to have it. Pure.

Nothing is loaded to find out: that is for the process that uses it (`library.py`).
"""

import os
from functools import cache
from typing import Final

NAMES: Final = ("libsrt.so.1.5", "libsrt-gnutls.so.1.5")  # the first that is there is taken
INSTALL_WORDS: Final = "apt-get install libsrt1.5-openssl"
_FOLDERS: Final = ("/usr/local/lib", "/usr/lib/{}", "/lib/{}", "/usr/lib64", "/usr/lib", "/lib")


@cache
def is_there() -> bool:
    """Whether it is where libraries are."""
    machine = f"{os.uname().machine}-linux-gnu"
    folders = [name.format(machine) for name in _FOLDERS]
    return any(os.path.exists(os.path.join(at, name)) for at in folders for name in NAMES)
