"""common/ipc/child_arguments.py."""

import argparse

import pytest

from common.ipc.child_arguments import add_identity, identity_arguments, identity_of
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
