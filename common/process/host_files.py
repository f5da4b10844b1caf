"""Files of a host that a process in a sandbox reads beside its own code (IO: it looks them up)."""

import ssl
from pathlib import Path
from typing import Final

# To find hosts by their names, and to know their certificates.
_NAMES: Final = ("resolv.conf", "hosts", "host.conf", "nsswitch.conf", "gai.conf", "services")
_CERTIFICATES: Final = Path("/etc/ssl")
_RESOLVED: Final = Path("/run/systemd/resolve")


def lookup_files() -> tuple[Path, ...]:
    """What hosts are found by, and what their certificates are checked with."""
    known = ssl.get_default_verify_paths()
    certificates = map(Path, (known.openssl_cafile, known.openssl_capath))
    return (*(Path("/etc", name) for name in _NAMES), _CERTIFICATES, _RESOLVED, *certificates)


def directories(*files: Path) -> tuple[Path, ...]:
    """Return where the files are, and where those are that they are links to.

    A file that is replaced is another one for the sandbox, its directory is not.
    """
    found = [path for file in files for path in (file.absolute().parent, file.resolve().parent)]
    return tuple(dict.fromkeys(found))
