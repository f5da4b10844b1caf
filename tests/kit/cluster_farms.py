"""Configurations of farms that are hosts of a cluster."""

import json
from pathlib import Path
from typing import Final

from tests.kit.etcd import Etcd

SECRET: Final = "a-secret-of-the-tests-0123456789"
# A farm that passes streams on as they come, and keeps no player for a publisher that is gone.
PASSED_ON: Final = """
[listen]
rtmp = "127.0.0.1:0"

[devices]
use_gpus = false

[software]
workers = 1

[ingest]
first_video_timeout = "5m"
idle_timeout = "5m"

[templates.live]
hold = "0s"
renditions = []
"""


def cluster_table(host: str, etcd: Etcd, folder: Path) -> str:
    """Return the table of one host; the cluster's secret is written into the folder."""
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n")
    return f"""
[cluster]
name = "test"
host = "{host}"
secret_file = "{secret}"
etcd = {json.dumps(etcd.urls)}
"""


def relayed_table(host: str, etcd: Etcd, folder: Path, port: int) -> str:
    """Return the table of a host that media goes to and comes from.

    The folder has the authority's files; the host is given its own there (`certificates.py`).
    """
    return f"""{cluster_table(host, etcd, folder)}
relay = "127.0.0.1:{port}"
relay_address = "127.0.0.1:{port}"
cert = "{folder}/{host}.pem"
key = "{folder}/{host}.key"
ca = "{folder}/ca.pem"
"""
