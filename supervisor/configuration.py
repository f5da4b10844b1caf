"""A running farm's configuration: its file, and the templates that all hosts share (IO).

The shared ones come from etcd by the cluster child. They are taken as a reload takes a file:
checked whole with the host's own configuration, which holds where both say something; with faults
they change nothing. The last good ones are kept in the run directory, for a start while etcd is
away.
"""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from common.config.settings import Settings
from common.config.shared_templates import MAX_BYTES
from common.errors import ConfigError
from common.ipc.cluster_messages import ClusterTemplates
from supervisor.commands.reload import ReloadRefused, read_again
from supervisor.farm.actions import Action
from supervisor.farm.farm import Farm

log = logging.getLogger("tfarm.supervisor.configuration")

NAME: Final = "templates.json"
NONE: Final = ClusterTemplates(0, "")


def read_kept(run_dir: Path) -> ClusterTemplates:
    """What an earlier supervisor kept; `NONE` where there is nothing, or a damaged file."""
    path = run_dir / NAME
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(2 * MAX_BYTES))
        return ClusterTemplates(int(found["revision"]), str(found["text"]))
    except FileNotFoundError:
        return NONE
    except (OSError, ValueError, LookupError, TypeError) as error:
        log.error("shared templates not read file=%s reason=%s", path, error)
        return NONE


class Used(Protocol):
    """The settings that the farm runs by (`supervisor.additions.additions`)."""

    @property
    def loaded(self) -> Settings:
        """What was read last."""
        ...

    def use(self, loaded: Settings) -> None:
        """Use others."""
        ...


class Configuration:
    """One farm's."""

    def __init__(
        self,
        farm: Farm,
        path: Path | None,
        run_dir: Path,
        templates: ClusterTemplates,
        cores: int,
        execute: Callable[[list[Action]], None],
        used: Used,
    ) -> None:
        """`templates`: those shared ones that the farm's settings have."""
        self._farm = farm
        self._path = path
        self._kept = run_dir / NAME
        self._cores = cores
        self._execute = execute
        self._used = used
        self.templates = templates
        farm.registry.templates.revision = templates.revision

    def reload(self) -> tuple[bool, str]:
        """Read the file again; what became of it, in words."""
        try:
            words = self._reload(self.templates.text)
        except ReloadRefused as error:
            log.error("configuration not reloaded reason=%s", str(error).replace("\n", "; "))
            return False, str(error)
        log.info("configuration reloaded file=%s changes=%s", self._path, words)
        return True, f"{self._path} is loaded; {words}"

    # ---- the templates that all hosts share ---------------------------------------------------

    def take(self, found: ClusterTemplates) -> None:
        """Others are in etcd."""
        noted = self._farm.registry.templates
        if found.text != self.templates.text:
            try:
                words = self._reload(found.text)
            except ReloadRefused as error:
                faults = str(error).splitlines()[1:] or [str(error)]
                problem = "; ".join(faults)
                noted.problem = f"revision {found.revision}: {problem}"
                log.error("shared templates refused revision=%d reason=%s", found.revision, problem)
                return
            log.info("shared templates taken revision=%d changes=%s", found.revision, words)
        self.templates = found
        noted.revision, noted.problem = found.revision, ""
        self._keep()

    def push_templates(self, text: str) -> tuple[bool, str]:
        """An operator gives all hosts others; whether that has begun, and what is wrong."""
        from common.config.load import load

        view = self._farm.registry.view
        if view is None or not view.is_in_touch:
            return False, "this host is not in touch with etcd: nothing was changed"
        assert self._path is not None  # with [cluster] there is a file
        try:
            load(self._path, text)
        except ConfigError as error:
            return False, "\n".join(["nothing was changed", *map(str, error.faults)])
        self._execute(self._farm.registry.push_templates(text))
        return True, ""

    def templates_document(self) -> dict[str, Any]:
        """What is in etcd, what this farm has, and what became of the last push."""
        noted = self._farm.registry.templates
        return {
            "revision": noted.seen.revision,
            "text": noted.seen.text,
            "held_revision": noted.revision,
            "problem": noted.problem,
            "is_pushing": noted.is_pushing,
            "push_problem": noted.push_problem,
        }

    # ---- inside -------------------------------------------------------------------------------

    def _reload(self, templates: str) -> str:
        """Read the file, and these templates; what has changed, in words. Raises ReloadRefused."""
        result = read_again(self._path, self._used.loaded, self._cores, templates)
        self._used.use(result.settings)
        return result.words

    def _keep(self) -> None:
        new = self._kept.with_suffix(".new")
        document = {"revision": self.templates.revision, "text": self.templates.text}
        try:
            new.write_text(json.dumps(document))
            new.replace(self._kept)
        except OSError as error:
            log.error("shared templates not kept file=%s reason=%s", self._kept, error.strerror)
