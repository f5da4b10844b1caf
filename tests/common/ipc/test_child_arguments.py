"""common/ipc/child_arguments.py."""

import argparse

import pytest

from common.ipc.child_arguments import (
    add_identity,
    identity_arguments,
    identity_of,
    listen_address,
)
from common.ipc.identity import ChildId, Role, cpu_worker, gpu_worker


@pytest.mark.parametrize(
    "child",
    [ChildId("ingest", index=2), cpu_worker(1), cpu_worker(4, Role.DEDICATED), gpu_worker("G", 1)],
    ids=str,
)
def test_a_process_is_told_who_it_is(child: ChildId) -> None:
    parser = argparse.ArgumentParser()
    add_identity(parser)
    assert identity_of(child.kind, parser.parse_args(identity_arguments(child))) == child


def test_a_role_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_identity(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(["--role", "king"])
    assert "--role" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "address"),
    [("127.0.0.1:1935", ("127.0.0.1", 1935)), ("[::1]:0", ("::1", 0)), (":65535", ("", 65535))],
)
def test_where_to_listen(text: str, address: tuple[str, int]) -> None:
    assert listen_address(text) == address


@pytest.mark.parametrize("text", ["1935", "host", "host:", "host:-1", "host:65536", "host:x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="HOST:PORT"):
        listen_address(text)
