"""ingest/demand/wanted_renditions.py: what is made, by who plays it and for how long after."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from common.config.ladder import MadeWhen, Rendition, Template
from ingest.demand.wanted_renditions import WantedRenditions

NAMES = ("720p", "480p", "360p")
RENDITIONS = tuple(Rendition(name, 640, 360, 700_000) for name in NAMES)
WATCHED = Template("live", RENDITIONS, renditions_when=MadeWhen.DEMANDED, linger_ms=10_000)


def test_a_template_that_makes_all_always_has_nothing_to_say() -> None:
    assert WantedRenditions().look(Template("live", RENDITIONS), NAMES, {"720p"}, 0.0) is None


def test_one_is_made_from_its_first_viewer_until_some_time_after_its_last() -> None:
    wanted = WantedRenditions()
    assert wanted.look(WATCHED, NAMES, set(), 0.0) == ()
    assert wanted.look(WATCHED, NAMES, {"480p"}, 1.0) == ("480p",)
    assert wanted.look(WATCHED, NAMES, set(), 10.9) == ("480p",)
    assert wanted.look(WATCHED, NAMES, {"source", "360p"}, 11.0) == ("360p",)
    assert wanted.look(WATCHED, ("720p",), set(), 12.0) == ()  # the ladder is another one


def test_a_stream_has_demand_by_who_plays_anything_of_it() -> None:
    wanted = WantedRenditions()
    wanted.look(WATCHED, NAMES, set(), 0.0)
    assert not wanted.has_demand(0.0)
    assert wanted.look(WATCHED, NAMES, {"source"}, 1.0) == ()
    assert [wanted.has_demand(now) for now in (1.0, 10.9, 11.0)] == [True, True, False]


def test_a_rendition_may_be_another_than_its_template() -> None:
    always = replace(RENDITIONS[2], when=MadeWhen.ALWAYS)
    mixed = replace(WATCHED, renditions=(*RENDITIONS[:2], always))
    assert WantedRenditions().look(mixed, NAMES, set(), 0.0) == ("360p",)
    watched = replace(RENDITIONS[0], when=MadeWhen.DEMANDED)
    other = Template("live", (watched, *RENDITIONS[1:]))
    assert WantedRenditions().look(other, NAMES, set(), 0.0) == ("480p", "360p")


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from(NAMES)), st.floats(0.01, 8.0)), min_size=1, max_size=30
    )
)
def test_what_is_demanded_is_made_and_what_was_not_for_long_is_not(
    steps: list[tuple[set[str], float]],
) -> None:
    wanted, now, last = WantedRenditions(), 0.0, dict.fromkeys(NAMES, -100.0)
    for demanded, passed_s in steps:
        now += passed_s
        last.update(dict.fromkeys(demanded, now))
        made = wanted.look(WATCHED, NAMES, demanded, now)
        assert made == tuple(name for name in NAMES if now - last[name] < 10.0)
