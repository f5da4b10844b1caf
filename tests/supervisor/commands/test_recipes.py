"""The programs of docs/recipes.md run on the document that there is."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from common.access.refusal import RefusalReason
from common.access.refusals import Attempted, RefusalStatus
from tests.kit.children import INGEST0
from tests.kit.farm_rig import Rig
from tests.supervisor.commands.test_status_document import document, streaming

PAGE = Path(__file__).parents[3] / "docs" / "recipes.md"


def test_the_metrics_of_prometheus(rig: Rig, tmp_path: Path) -> None:
    streaming(rig)
    refused = RefusalStatus(
        Attempted.PUBLISH, RefusalReason.FULL, "the farm is full", "192.0.2.1:5", 1.0
    )
    rig.beat(INGEST0, publishers=(rig.publisher(),), refusals=(refused,))
    (program,) = re.findall(r"```python\n(#!.*?tfarm-metrics.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "metrics").write_text(program)
    (tmp_path / "document").write_text(json.dumps(document(rig)))
    command = tmp_path / "tfarm"
    command.write_text(f"#!/bin/sh\ncat {tmp_path}/document\n")
    command.chmod(0o755)
    subprocess.run(
        [sys.executable, str(tmp_path / "metrics"), str(tmp_path / "out")],
        env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
        timeout=30,
    )
    found = (tmp_path / "out").read_text().splitlines()
    assert "tfarm_up{} 1" in found
    assert 'tfarm_refused_total{reason="full"} 1' in found
    assert 'tfarm_players{app="live",stream="a",rendition="480p"} 4' in found
