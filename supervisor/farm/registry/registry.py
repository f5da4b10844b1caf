"""Who may have a stream, as a farm asks it: by itself alone, or with other hosts. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Protocol

from common.ipc.cluster_messages import ClusterTemplates, ClusterView
from common.ipc.control_messages import PublishRequest
from common.ipc.identity import ChildId, StreamId
from common.ipc.status_messages import PublisherStatus
from supervisor.farm.actions import Action
from supervisor.farm.admission.publish_requests import Admission
from supervisor.farm.state import FarmState


@dataclass(slots=True)
class Templates:
    """The templates that all hosts share: what is in etcd, and what this farm has of it."""

    seen: ClusterTemplates = field(default_factory=lambda: ClusterTemplates(0, ""))  # in etcd
    revision: int = 0  # that this farm has; 0: none
    problem: str = ""  # why it has not what was seen
    is_pushing: bool = False
    push_problem: str = ""  # of the last push


class Registry(Protocol):
    """A `Machine` between who wants to publish and `Admission`."""

    view: ClusterView | None  # what is known of other hosts; None: nothing
    unregistered: set[StreamId]  # that run here, and are not this host's for the others
    templates: Templates

    @property
    def handlers(self) -> dict[type, Callable[[ChildId, Any, float], list[Action]]]:
        """Which further messages are taken here."""

    def request(self, ingest: ChildId, request: PublishRequest, now: float) -> list[Action]:
        """Somebody wants to publish."""

    def withdraw(self, ingest: ChildId, stream_id: StreamId) -> None:
        """Who asked has gone."""

    def forget_ingest(self, ingest: ChildId) -> None:
        """An ingest is gone, and with it who asked by it."""

    def publishers(self, ingest: ChildId, publishers: Sequence[PublisherStatus]) -> None:
        """An ingest is there, and has these."""

    def is_moving(self, stream_id: StreamId) -> bool:
        """Tell if a stream is on its way to another host."""

    def child_up(self, child: ChildId) -> list[Action]:
        """A child is there, that perhaps knows nothing."""

    def child_down(self, child: ChildId, now: float) -> list[Action]:
        """A child is gone."""

    def settle(self) -> list[Action]:
        """All streams that ran before this supervisor are known."""

    def beat(self, child: ChildId) -> list[Action]:
        """A child's heartbeat."""

    def leave(self) -> list[Action]:
        """The farm ends."""

    def push_templates(self, text: str) -> list[Action]:
        """An operator gives all hosts other templates, which have been checked."""

    def next_deadline(self) -> float:
        """When to call `tick` if nothing else comes."""

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""


class Alone:
    """A farm of one host: every stream may begin here, nothing is asked and nothing waits."""

    view: ClusterView | None = None
    unregistered: set[StreamId] = set()  # noqa: RUF012 # there are none

    def __init__(self, admission: Admission) -> None:
        self.request = admission.request
        self.templates = Templates()

    @property
    def handlers(self) -> dict[type, Callable[[ChildId, Any, float], list[Action]]]:
        return {}

    def withdraw(self, ingest: ChildId, stream_id: StreamId) -> None: ...

    def forget_ingest(self, ingest: ChildId) -> None: ...

    def publishers(self, ingest: ChildId, publishers: Sequence[PublisherStatus]) -> None: ...

    def is_moving(self, stream_id: StreamId) -> bool:
        return False

    def child_up(self, child: ChildId) -> list[Action]:
        return []

    def child_down(self, child: ChildId, now: float) -> list[Action]:
        return []

    def settle(self) -> list[Action]:
        return []

    def beat(self, child: ChildId) -> list[Action]:
        return []

    def leave(self) -> list[Action]:
        return []

    def push_templates(self, text: str) -> list[Action]:
        return []

    def next_deadline(self) -> float:
        return inf

    def tick(self, now: float) -> list[Action]:
        return []


def registry_for(state: FarmState, admission: Admission) -> Registry:
    """What a farm with these settings asks."""
    if not state.settings.cluster.is_enabled:
        return Alone(admission)
    from supervisor.farm.registry.etcd import EtcdRegistry

    return EtcdRegistry(state, admission)
