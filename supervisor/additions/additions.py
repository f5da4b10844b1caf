"""What requests have added to the configuration. Pure.

The configuration comes first: what is added holds as long as it says nothing else. It is judged by
the same rules when it is added, when a supervisor starts, and when the configuration is read again;
what is not allowed any more ends then, and does not come back by itself.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import urlsplit

from common.additions.pulls import pull_arguments, read_pull
from common.additions.pushes import AddedPush, push_arguments, push_id, read_push, shown_target
from common.config.conflicts import MAX_PULLS, of_pushes
from common.config.ladder import Template
from common.config.remote_url import is_allowed, shown_url
from common.config.settings import Listen, Pull, Settings
from common.config.values import listen_address
from common.ipc.control_messages import Hello
from common.process.log import stream_label

log = logging.getLogger("tfarm.supervisor.additions.additions")

PORTS: Final = {"rtmp": 1935, "rtmps": 443, "rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
Outcome = tuple[bool, str]
T = TypeVar("T")


class Kept(Protocol):
    """Where they are kept for the next supervisor."""

    def read(self) -> Mapping[str, Sequence[Mapping[str, Any]]]: ...

    def write(self, requests: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
        """Keep them; what is wrong if that failed, "" if not."""
        ...


class Additions:
    """Those of one farm."""

    def __init__(
        self,
        loaded: Settings,
        kept: Kept,
        is_own_host: Callable[[str], bool],
        use: Callable[[Settings], None],
    ) -> None:
        """`loaded`: what the configuration says; `use` has other settings used."""
        self.loaded = loaded
        self._kept, self._is_own_host, self._use = kept, is_own_host, use
        self._hellos: Callable[[], Iterable[Hello]] = tuple
        self._asked_by: Callable[[], str] = str
        self._pulls: tuple[Pull, ...] = ()
        self._pushes: tuple[AddedPush, ...] = ()
        self._load(kept.read())

    @property
    def settings(self) -> Settings:
        """The configuration with what was added."""
        templates = tuple(self._with_pushes(template) for template in self.loaded.templates)
        pulls = (*self.loaded.pulls, *self._pulls)
        return replace(self.loaded, pulls=pulls, templates=templates)

    def use(self, loaded: Settings) -> None:
        """The configuration is another one: use it, with what it still allows."""
        self.loaded = loaded
        before = self._pulls, self._pushes
        self._pulls, self._pushes = (), ()
        self._add_all(*before)
        if (self._pulls, self._pushes) != before:
            self._keep()
        self._use(self.settings)

    def follow(self, hellos: Callable[[], Iterable[Hello]], asked_by: Callable[[], str]) -> None:
        """The farm is there: the hellos of its children, and who makes the present request."""
        self._hellos, self._asked_by = hellos, asked_by

    # ---- requests -----------------------------------------------------------------------------

    def pull(self, given: Mapping[str, str]) -> Outcome:
        """Fetch a stream from now on; whether that is done, in words."""
        try:
            pull = read_pull(given)
        except ValueError as error:
            return False, str(error)
        if pull in self._pulls:
            return True, f"{pull.stream_id} is pulled already"
        if why := self._why_not_pulled(pull):
            return False, f"{pull.stream_id} is not pulled: {why}"
        self._pulls = (*self._pulls, pull)
        label, shown = stream_label(pull.stream_id), shown_url(pull.url)
        log.info("pull added stream=%s url=%s by=%s", label, shown, self._asked_by())
        return True, f"{pull.stream_id} is pulled from {shown}" + self._changed()

    def unpull(self, app: str, key: str) -> Outcome:
        """Fetch a stream no more that was added; whether it was."""
        found = next((pull for pull in self._pulls if (pull.app, pull.key) == (app, key)), None)
        if found is None:
            if any((pull.app, pull.key) == (app, key) for pull in self.loaded.pulls):
                return False, f"{app}/{key} is pulled by the configuration: remove it there"
            return False, f"{app}/{key} is not pulled"
        self._pulls = tuple(pull for pull in self._pulls if pull is not found)
        log.info("pull removed stream=%s by=%s", stream_label(found.stream_id), self._asked_by())
        return True, f"{found.stream_id} is not pulled any more" + self._changed()

    def push(self, given: Mapping[str, str]) -> tuple[bool, str, dict[str, Any]]:
        """Send a rendition to another server from now on; with what the push is called by."""
        try:
            push = read_push(given)
        except ValueError as error:
            return False, str(error), {}
        what, named = f"{push.rule.rendition} of {push.app}", {"push": push.id}
        if push in self._pushes:
            return True, f"{what} is pushed already", named
        if why := self._why_not_pushed(push):
            return False, f"{what} is not pushed: {why}", {}
        self._pushes = (*self._pushes, push)
        url = shown_target(push.rule.url)
        fields = "push added push=%s app=%s rendition=%s address=%s by=%s"
        log.info(fields, push.id, push.app, push.rule.rendition, url, self._asked_by())
        return True, f"{what} is pushed to {url} as {push.id}" + self._changed(), named

    def unpush(self, name: str) -> Outcome:
        """End a push that was added; whether there was one."""
        if name not in {push.id for push in self._pushes}:
            return False, "no request has added such a push"
        self._pushes = tuple(push for push in self._pushes if push.id != name)
        log.info("push removed push=%s by=%s", name, self._asked_by())
        return True, f"{name} is not pushed any more" + self._changed()

    # ---- inside -------------------------------------------------------------------------------

    def _load(self, kept: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        pulls = _read_all(read_pull, kept.get("pulls", ()))
        pushes = _read_all(read_push, kept.get("pushes", ()))
        self._add_all(pulls, pushes)
        if len(self._pulls) + len(self._pushes) < sum(map(len, kept.values())):
            self._keep()

    def _with_pushes(self, template: Template) -> Template:
        rules = [push.rule for push in self._pushes if push.app == template.name]
        return replace(template, pushes=(*template.pushes, *rules)) if rules else template

    def _add_all(self, pulls: Iterable[Pull], pushes: Iterable[AddedPush]) -> None:
        for push in pushes:
            if why := self._why_not_pushed(push):
                log.warning("push removed by configuration push=%s reason=%s", push.id, why)
            else:
                self._pushes = (*self._pushes, push)
        for pull in pulls:
            if why := self._why_not_pulled(pull):
                label = stream_label(pull.stream_id)
                log.warning("pull removed by configuration stream=%s reason=%s", label, why)
            else:
                self._pulls = (*self._pulls, pull)

    def _changed(self) -> str:
        """Keep them and have them used; what is to be said of that."""
        problem = self._keep()
        self._use(self.settings)
        return f"; the next supervisor will not know it: {problem}" if problem else ""

    def _keep(self) -> str:
        return self._kept.write(
            {
                "pulls": [pull_arguments(pull) for pull in self._pulls],
                "pushes": [push_arguments(push) for push in self._pushes],
            }
        )

    def _why_not_pushed(self, push: AddedPush) -> str:
        """Why the configuration does not allow it, in words; "" if it does."""
        loaded = self.loaded.template(push.app)
        if loaded is None:
            return f'there is no app "{push.app}"'
        template = self._with_pushes(loaded)
        if push.id in {push_id(push.app, rule) for rule in template.pushes}:
            return "the configuration has it already"
        template = replace(template, pushes=(*template.pushes, push.rule))
        if conflict := next(of_pushes(template), None):
            return conflict.problem
        return self._why_no_url(push.rule.url, self.loaded.api.push_urls, "api.push_urls")

    def _why_not_pulled(self, pull: Pull) -> str:
        """Why the configuration does not allow it, in words; "" if it does."""
        streams = {"the configuration": self.loaded.pulls, "another request": self._pulls}
        for whose, pulls in streams.items():
            if any(other.stream_id == pull.stream_id for other in pulls):
                return f"{whose} has it pulled already, from elsewhere perhaps; remove that first"
        if self.loaded.template(pull.app) is None:
            return f'there is no app "{pull.app}"'
        if len(self.loaded.pulls) + len(self._pulls) >= MAX_PULLS:
            return f"{MAX_PULLS} streams are pulled, as many as may be"
        return self._why_no_url(pull.url, self.loaded.api.pull_urls, "api.pull_urls")

    def _why_no_url(self, url: str, patterns: Sequence[str], setting: str) -> str:
        shown = shown_target(url)
        if not patterns:
            return f"{setting} is empty, which allows no URL"
        if not is_allowed(url, patterns):
            return f"{setting} does not allow {shown}"
        parts = urlsplit(url)
        port = parts.port or PORTS.get(parts.scheme, 0)
        if port in self._own_ports() and self._is_own_host(parts.hostname or ""):
            return f"{shown} is an address of this farm"
        return ""

    def _own_ports(self) -> set[int]:
        """Where this farm listens: as configured, and as it is."""
        loaded = self.loaded
        listens: tuple[Listen | None, ...] = (
            loaded.listen,
            loaded.listen_tls,
            loaded.listen_http if loaded.web.is_enabled else None,
            loaded.listen_https if loaded.web.is_enabled else None,
            loaded.listen_srt,
            loaded.api.listen if loaded.api.is_enabled else None,
            loaded.cluster.relay if loaded.cluster.is_enabled else None,
        )
        real = (listen_address(where) for hello in self._hellos() for where in hello.listen)
        return {listen.port for listen in (*listens, *real) if listen is not None} - {0}


def _read_all(
    read: Callable[[Mapping[str, Any]], T], requests: Iterable[Mapping[str, Any]]
) -> list[T]:
    """Those of the file that can be read."""
    found = []
    for request in requests:
        try:
            found.append(read(request))
        except ValueError as error:
            log.error("addition not read reason=%s", error)
    return found
