"""supervisor/configuration.py: templates that come from etcd, as a farm takes them."""

from pathlib import Path

import pytest

from common.config.load import load
from common.config.settings import Settings
from common.ipc.cluster_messages import ClusterTemplates, ClusterView, PushTemplates
from common.ipc.identity import ChildId
from supervisor.configuration import NONE, Configuration, read_kept
from supervisor.farm.actions import Action, Send
from tests.kit.farm_rig import Rig

CLUSTER0 = ChildId("cluster")
GOOD = ClusterTemplates(7, '[templates.live]\ngop = "1s"\n')
BAD = ClusterTemplates(8, "[templates.live]\ngop = 'soon'\nhold = 'later'\n")
TIME = 'must be a duration with its unit, such as "10s" or "500ms"'
REFUSED = f"revision 8: templates.live.gop: {TIME}; templates.live.hold: {TIME}"
OWN = """
[cluster]
name = "c"
secret_file = "/s"
etcd = ["http://e:1"]
"""


class Shared:
    """Those of a farm whose reloads are noted."""

    def __init__(self, run_dir: Path, held: ClusterTemplates = NONE) -> None:
        config = run_dir / "farm.toml"
        config.write_text(OWN)
        self.rig = Rig(load(config, held.text))
        self.rig.up(CLUSTER0)
        self.used: list[int] = []
        self.actions: list[Action] = []
        self.shared = Configuration(
            self.rig.farm,
            config,
            run_dir,
            held,
            2,
            self.actions.extend,
            self,
        )

    @property
    def loaded(self) -> Settings:
        return self.rig.farm.state.settings

    def use(self, loaded: Settings) -> None:
        self.rig.farm.configure(loaded, self.rig.now)
        self.used.append(loaded.templates[0].gop_ms)

    def take(self, found: ClusterTemplates) -> tuple[int, str]:
        self.rig.say(CLUSTER0, found)
        self.shared.take(found)
        templates = self.rig.farm.registry.templates
        return templates.revision, templates.problem


def test_good_ones_are_used_once_and_kept(tmp_path: Path) -> None:
    farm = Shared(tmp_path)
    assert farm.take(GOOD) == (7, "")
    assert farm.take(ClusterTemplates(9, GOOD.text)) == (9, "")
    assert farm.used == [1_000]
    assert read_kept(tmp_path) == ClusterTemplates(9, GOOD.text)
    after = Shared(tmp_path, read_kept(tmp_path))
    assert after.take(ClusterTemplates(9, GOOD.text)) == (9, "")
    assert after.used == []


def test_bad_ones_change_nothing_and_every_host_is_told_why(tmp_path: Path) -> None:
    farm = Shared(tmp_path)
    farm.take(GOOD)
    assert farm.take(BAD) == (7, REFUSED)
    assert farm.shared.templates == read_kept(tmp_path) == GOOD
    assert farm.shared.templates_document() == {
        "revision": 8,
        "text": BAD.text,
        "held_revision": 7,
        "problem": REFUSED,
        "is_pushing": False,
        "push_problem": "",
    }
    assert farm.take(GOOD) == (7, "")


def test_what_is_pushed_is_checked_first(tmp_path: Path) -> None:
    farm = Shared(tmp_path)
    assert farm.shared.push_templates("") == (
        False,
        "this host is not in touch with etcd: nothing was changed",
    )
    farm.rig.say(CLUSTER0, ClusterView(True))
    assert farm.shared.push_templates("[templates.live]\ngop = 'x'\n[api]\n") == (
        False,
        "nothing was changed\napi: is a host's own: only [templates.APP] is for all hosts",
    )
    ok, words = farm.shared.push_templates("[templates.live]\ngop = 'x'")
    assert not ok
    assert words.startswith("nothing was changed\ntemplates.live.gop: ")
    assert farm.actions == []
    assert farm.shared.push_templates(GOOD.text) == (True, "")
    assert farm.actions == [Send(CLUSTER0, PushTemplates(GOOD.text))]
    assert farm.shared.templates_document()["is_pushing"]
    farm.rig.down(CLUSTER0)
    assert (
        farm.shared.templates_document()["push_problem"]
        == "the cluster process has ended; look again"
    )


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "{}", '{"revision": "x", "text": ""}'])
def test_a_damaged_file_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "templates.json").write_text(text)
    assert read_kept(tmp_path) == NONE


def test_no_file_is_none(tmp_path: Path) -> None:
    assert read_kept(tmp_path) == NONE


def test_a_reload_reads_the_file_below_which_the_shared_ones_stand(tmp_path: Path) -> None:
    farm = Shared(tmp_path)
    farm.take(GOOD)
    (tmp_path / "farm.toml").write_text(OWN + '[templates.live]\nhold = "3s"\n')
    assert farm.shared.reload() == (
        True,
        f"{tmp_path}/farm.toml is loaded; for new streams: templates.live.hold",
    )
    assert farm.used == [1_000, 1_000]
    (tmp_path / "farm.toml").write_text("x = 1")
    ok, words = farm.shared.reload()
    assert (ok, words.splitlines()[1]) == (False, "x: is no known key")
