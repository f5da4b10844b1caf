"""tests/image/containerfile.py, with deploy/Containerfile and with what it refuses."""

import pytest

from tests.image.containerfile import Copy, argument, environment, kept, read
from tests.kit.debian_root import ROOT

TEXT = """
# a comment
ARG BASE=debian:12
FROM ${BASE} AS build
ARG GPU=gpu13
RUN a \\
    # between lines
    && b "$GPU"
COPY . .
FROM $BASE
COPY --from=build /opt/x /opt/y
CMD ["one", "two words"]
"""


def test_stages_have_their_steps_in_order() -> None:
    build, last = read(TEXT, {})
    assert (build.base, build.name, last.base, last.name) == ("debian:12", "build", "debian:12", "")
    assert [step.name for step in build.steps] == ["ARG", "RUN", "COPY"]
    assert build.steps[1].text.split() == ["a", "&&", "b", '"$GPU"']
    assert last.words("CMD") == ["one", "two words"]


def test_arguments_have_the_value_that_was_given_or_their_own() -> None:
    assert read(TEXT, {"BASE": "other"})[1].base == "other"
    assert argument("GPU=gpu13", {"GPU": "none"}) == ("GPU", "none")
    assert argument("GPU=gpu13", {}) == ("GPU", "gpu13")


@pytest.mark.parametrize("text", ["FROM a\nADD x y", "RUN before", "FROM a\nVOLUME /x"])
def test_what_it_does_not_know_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"ADD|RUN|VOLUME"):
        read(text, {})


def test_copies_say_from_where() -> None:
    assert Copy.of("--from=build /a /b") == Copy("build", ("/a",), "/b")
    assert Copy.of("a b c/") == Copy("", ("a", "b"), "c/")
    for text in ("--chown=1 a b", "a"):
        with pytest.raises(ValueError, match="COPY"):
            Copy.of(text)


def test_an_environment_has_its_words() -> None:
    assert environment('A=b C="d e"') == {"A": "b", "C": "d e"}
    with pytest.raises(ValueError, match="ENV"):
        environment("A b")


def test_the_last_line_that_fits_decides_what_is_kept() -> None:
    paths = ["a/x.py", "a/__pycache__/x.pyc", "b/x.py", "deploy/c.toml", "deploy/d.toml", "README"]
    ignore = "*\n# words\n!a\n!deploy/c.toml\n**/__pycache__\n"
    assert kept(paths, ignore) == ["a/x.py", "deploy/c.toml"]
    assert kept(paths, "") == paths
    assert kept(paths, "?EADME\n*/d.toml") == paths[:4]


def test_the_projects_own_is_read() -> None:
    build, last = read((ROOT / "deploy" / "Containerfile").read_text(), {})
    assert build.name == "build"
    assert [Copy.of(step.text).stage for step in last.steps if step.name == "COPY"] == ["build", ""]
    assert [*last.words("ENTRYPOINT"), *last.words("CMD")][:2] == ["tfarm", "supervisor"]
    assert last.last("USER").isdigit() or ":" in last.last("USER")
