"""Who may import RTMP and FLV, which are known to the edges alone."""

import re
from collections.abc import Callable

# Beside common/rtmp and the */rtmp/ folders.
RTMP_IMPORTERS = {
    "common/ipc/socket_handover.py": "the limit of a session's snapshot, which is what it carries",
}
# Beside those that may import RTMP: modules that make or open tags.
FLV_IMPORTERS = {
    "ingest/outputs/egress_output.py": "makes the source rendition's tags",
    "ingest/streams/source_clock.py": "32-bit timestamps of publishers",
    "ingest/streams/timeline.py": "32-bit timestamps of publishers",
    "worker/output/mux.py": "makes the tags of renditions",
    "worker/output/rendition_output.py": "says which type of tag it sends",
    "egress/streams/stream.py": "says which type of tag came",
    "egress/streams/tag.py": "opens tags",
}

_RTMP_FOLDER = re.compile(r"^(common|ingest|egress)/rtmp/|^supervisor/commands/demo/")


def may_import_rtmp(module: str) -> bool:
    return bool(_RTMP_FOLDER.match(module)) or module in RTMP_IMPORTERS


def may_import_flv(module: str) -> bool:
    return (
        bool(_RTMP_FOLDER.match(module))
        or module.startswith("common/flv/")
        or module in FLV_IMPORTERS
    )


RULES: dict[str, Callable[[str], bool]] = {
    "common/rtmp/": may_import_rtmp,
    "common/flv/": may_import_flv,
}
