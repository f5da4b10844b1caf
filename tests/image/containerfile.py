"""Reads what of a Containerfile's format deploy/Containerfile uses. Pure.

What it does not know it refuses: a step that is left out would be one that nobody has tried.
"""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

KNOWN = frozenset(
    ("RUN", "COPY", "WORKDIR", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "ENTRYPOINT", "CMD", "ARG")
)
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Step:
    """One instruction, as it stands there."""

    name: str
    text: str


@dataclass
class Stage:
    """A root that begins as `base`, and what is done to it."""

    base: str
    name: str
    steps: list[Step] = field(default_factory=list)

    def words(self, name: str) -> list[str]:
        """The words of the last instruction of a name that is written as JSON."""
        texts = [step.text for step in self.steps if step.name == name]
        return list(map(str, json.loads(texts[-1])))

    def last(self, name: str) -> str:
        return [step.text for step in self.steps if step.name == name][-1]


def read(text: str, arguments: Mapping[str, str]) -> list[Stage]:
    """Read the stages; `arguments` are those of `--build-arg`.

    Raises:
        ValueError: there is something that this reader does not know.
    """
    stages: list[Stage] = []
    given: dict[str, str] = {}
    for name, rest in _instructions(text):
        if name == "FROM":
            base, _, alias = _filled(rest, given).partition(" AS ")
            stages.append(Stage(base.strip(), alias.strip()))
        elif name == "ARG" and not stages:
            given.update([argument(rest, arguments)])
        elif name in KNOWN and stages:
            stages[-1].steps.append(Step(name, rest))
        else:
            raise ValueError(f"{name} {rest}")
    return stages


def argument(text: str, given: Mapping[str, str]) -> tuple[str, str]:
    """The name and the value of an ARG: what was given, else its default."""
    name, _, default = text.partition("=")
    return name, given.get(name, default)


def environment(text: str) -> dict[str, str]:
    """What an ENV of the form `A=b C=d` sets."""
    pairs = [word.partition("=") for word in shlex.split(text)]
    if not all(equals for _, equals, _ in pairs):
        raise ValueError(f"ENV {text}")
    return {name: value for name, _, value in pairs}


@dataclass(frozen=True)
class Copy:
    """One COPY."""

    stage: str  # whose files; "": the context's
    sources: tuple[str, ...]
    target: str

    @classmethod
    def of(cls, text: str) -> "Copy":
        """Raises ValueError for an option other than --from."""
        options: list[str] = []
        words: list[str] = []
        for word in text.split():
            (options if word.startswith("--") else words).append(word)
        if len(words) < 2 or any(not option.startswith("--from=") for option in options):
            raise ValueError(f"COPY {text}")
        stage = options[-1].partition("=")[2] if options else ""
        return cls(stage, tuple(words[:-1]), words[-1])


def kept(paths: Sequence[str], ignore: str) -> list[str]:
    """Those of the context's files that a .dockerignore leaves; its last line that fits decides."""
    rules = []
    for line in filter(None, map(str.strip, ignore.splitlines())):
        if not line.startswith("#"):
            rules.append((_pattern(line.removeprefix("!").strip("/")), line.startswith("!")))
    found = []
    for path in paths:
        parts = path.split("/")
        above = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
        is_kept = True
        for pattern, keeps in rules:
            if any(pattern.fullmatch(one) for one in above):
                is_kept = keeps
        if is_kept:
            found.append(path)
    return found


def _instructions(text: str) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", "", "\n".join(lines))
    for line in filter(None, map(str.strip, joined.splitlines())):
        name, _, rest = line.partition(" ")
        yield name.upper(), rest.strip()


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), text)


def _pattern(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*|\?)", glob)
    known = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(part) or re.escape(part) for part in parts))
