"""`python -m supervisor [CONFIG] [--run-dir DIR] [--listen HOST:PORT]`: the supervisor process.

`tfarm supervisor` execs this, so that the process that stays holds nothing of the command line.
"""

import signal

# SIGHUP means "reload": before the loop handles it, it must not end us.
signal.signal(signal.SIGHUP, signal.SIG_IGN)
# Ctrl-C and SIGTERM wait for the loop, which ends the farm in order: `Supervisor.run` lets them in.
if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))

import argparse  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from dataclasses import replace  # noqa: E402
from pathlib import Path  # noqa: E402

from common.config.settings import Settings  # noqa: E402
from common.config.values import listen_address  # noqa: E402
from common.errors import ConfigError, ExitCode  # noqa: E402
from common.ipc.cluster_messages import ClusterTemplates  # noqa: E402
from common.process.descriptors import raise_limit  # noqa: E402
from common.process.log_lines import LogFormat  # noqa: E402
from common.process.log_output import set_up  # noqa: E402
from supervisor.configuration import NONE, read_kept  # noqa: E402
from supervisor.placement.calibration import without_template  # noqa: E402
from supervisor.processes.aside import call_aside  # noqa: E402
from supervisor.processes.launch import Program, python_module  # noqa: E402
from supervisor.processes.run_dir import RunDirError, default_run_dir  # noqa: E402
from supervisor.run import serve  # noqa: E402
from supervisor.upgrade import OPTION, PROBE, introduction  # noqa: E402

log = logging.getLogger("tfarm.supervisor.main")


def read_config(path: Path, templates: str = "") -> Settings:
    """Read the configuration file, and keep nothing of what reads it. Raises ConfigError.

    `templates`: those that all hosts of a cluster share.
    """
    return call_aside(_load, path, templates)


def _load(path: Path, templates: str) -> Settings:
    from common.config.load import load

    return load(path, templates)


def _with_templates(
    path: Path, settings: Settings, run_dir: Path
) -> tuple[Settings, ClusterTemplates]:
    """The same with the templates that all hosts share, as this one had them last."""
    kept = read_kept(run_dir) if settings.cluster.is_enabled else NONE
    if not kept.text:
        return settings, NONE
    try:
        return read_config(path, kept.text), kept
    except ConfigError as error:
        log.error("shared templates refused revision=%d reason=%s", kept.revision, error)
        return settings, NONE


def main(argv: list[str], program: Program = python_module) -> int:
    parser = argparse.ArgumentParser(prog="tfarm supervisor", description="Run the farm.")
    parser.add_argument("config", nargs="?", type=Path, help="TOML file; built-in defaults without")
    parser.add_argument("--run-dir", type=Path)
    parser.add_argument("--listen", help="HOST:PORT, in place of the configuration's")
    parser.add_argument(
        "--log-format", type=LogFormat, default=LogFormat.AUTO, choices=list(LogFormat)
    )
    parser.add_argument(PROBE, action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(OPTION, type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    path: Path | None = arguments.config
    run_dir = arguments.run_dir or default_run_dir(os.environ, os.geteuid())
    settings, templates = Settings(), NONE
    try:
        if path is not None:
            settings, templates = _with_templates(path, read_config(path), run_dir)
        if arguments.listen is not None:
            settings = replace(settings, listen=listen_address(arguments.listen))
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return ExitCode.USAGE
    except ValueError as error:
        print(f"--listen: {error}", file=sys.stderr)
        return ExitCode.USAGE
    if arguments.probe:
        print(introduction())
        return ExitCode.OK
    log_format: LogFormat = arguments.log_format
    set_up("supervisor", settings.log_level, log_format)
    for unused in without_template(settings):
        log.warning("setting without effect key=%s why=%s", unused.path, unused.problem)
    raise_limit()
    try:
        return serve(
            settings,
            run_dir,
            config_path=path,
            program=program,
            log_format=log_format,
            upgrade_deadline_s=arguments.upgrade,
            templates=templates,
        )
    except RunDirError as error:
        print(f"tfarm: {error}", file=sys.stderr)
        return ExitCode.FAILED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
