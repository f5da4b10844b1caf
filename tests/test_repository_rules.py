"""Rules of the repository that no linter knows: documents in step with code, layers, leaks."""

import ast
import dataclasses
import fnmatch
import importlib
import importlib.metadata
import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from common.access.refusal import Cause, RefusalReason
from common.config.reference import with_tables
from common.errors import ExitCode
from common.ipc.envelope import kinds
from common.process.log_lines import LIBRARY
from supervisor.farm.stream import Stream
from tests.repository.citations import missing
from tests.repository.log_events import log_events
from tests.repository.markdown import odd_lines
from tests.repository.shell_lines import commands, make_targets, unknown_commands
from tests.repository.sizes import complex_without_reason, too_long
from tests.repository.words import ALLOWED, identifiers, private_words

ROOT = Path(__file__).parent.parent
PACKAGES = tuple(
    tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
)
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tests/**/README.md")]
)
# All that is Python, and what else has comments that cite documents.
SOURCES = [
    *(
        path
        for top in (*PACKAGES, "tests", "scripts")
        for path in sorted((ROOT / top).rglob("*.py"))
    ),
    *(ROOT / name for name in ("Makefile", "pyproject.toml", "worker/devices/gpu/scale.cu")),
    *sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file()),
]

# Pure modules without a test file of their own, and where they are tested instead.
TESTED_ELSEWHERE = {
    "api/exposition.py": "tests/api/test_metrics.py",
    "common/ipc/gop_items.py": "values; tests/ingest/streams/test_gop_transfer.py",
    "common/ipc/remote_status.py": "values; tests of the children that report them",
    "ingest/pull/source.py": "protocols and values; tests/ingest/pull",
    "common/rtp/nal_payloads.py": "tests/common/rtp/test_h264.py, test_h265.py",
    "common/ipc/unit_ways.py": "protocols; tests of those who keep to them",
    **{
        f"common/ipc/{name}_messages.py": "values; tests/common/ipc/test_envelope.py has every kind"
        for name in (
            *("api", "capture", "cluster", "command", "control", "encoder", "forward", "hook"),
            *("media", "request", "sound", "status", "whep"),
        )
    },
    "ingest/streams/stream_context.py": "values; tests of streams",
    "ingest/streams/captures.py": "a protocol; tests/ingest/capture has who keeps to it",
    "cluster/actions.py": "values; tests/cluster/test_membership.py",
    "common/errors.py": "exceptions without behaviour",
    "common/config/model_templates.py": "tests/common/config/test_model.py",
    "common/config/model_cluster.py": "likewise",
    "common/config/settings.py": "values; tests/common/config/test_load.py",
    "common/rtmp/events.py": "values; tests of the session",
    "common/rtmp/config.py": "values; tests of the session",
    "common/rtmp/server_state.py": "values; tests of the session",
    "egress/output.py": "protocols and values; tests of the outputs",
    "ingest/input.py": "protocols and values; tests of ingest",
    "ingest/streams/media_events.py": "values; tests/ingest/rtmp/test_to_units.py",
    "supervisor/commands/line/command.py": "values; tests/supervisor/commands/line/test_server.py",
    "supervisor/farm/actions.py": "values; tests of those who give them",
    "worker/devices/backend.py": "protocols; tests of the devices",
    "worker/session/events.py": "values; tests of the session",
}


def modules() -> list[str]:
    found = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]
    return [name for name in found if not name.endswith(("__init__.py", "__main__.py"))]


def modules_that_log() -> list[str]:
    """Every module of every package, its entry points too."""
    tops = [path.parent for path in ROOT.glob("*/__init__.py") if path.parent.name != "tests"]
    return sorted(path.relative_to(ROOT).as_posix() for top in tops for path in top.rglob("*.py"))


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
IGNORES: dict[str, list[str]] = PROJECT["tool"]["ruff"]["lint"]["per-file-ignores"]
IO_PATTERNS = [pattern for pattern, rules in IGNORES.items() if "TID251" in rules]
PURE_IN_IO_FOLDERS: list[str] = PROJECT["tool"]["tfarm"]["pure"]
BANNED = set(PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"])


def may_do_io(module: str) -> bool:
    return any(fnmatch.fnmatch(module, pattern) for pattern in IO_PATTERNS)


def is_pure(module: str) -> bool:
    return module in PURE_IN_IO_FOLDERS or not may_do_io(module)


def imported(module: str) -> set[str]:
    """Our own modules that this one imports at run time, as paths."""
    names = set()
    tree = ast.parse((ROOT / module).read_text())
    checking = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in checking:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    paths = {name.replace(".", "/") + ".py" for name in names}
    return {path for path in paths if (ROOT / path).is_file()}


def test_a_pure_module_imports_no_module_that_does_io() -> None:
    pure = filter(is_pure, modules())
    found = [(one, path) for one in pure for path in imported(one) if not is_pure(path)]
    assert found == []


def test_a_pure_module_has_a_test_file() -> None:
    without = set()
    for path in map(Path, filter(is_pure, modules())):
        if not any((ROOT / "tests" / path.parent).glob(f"test_{path.stem}*.py")):
            without.add(path.as_posix())
    assert without == set(TESTED_ELSEWHERE)


def test_a_pure_module_in_a_folder_that_does_io_imports_nothing_that_is_banned() -> None:
    """Ruff holds this where a whole folder is pure."""
    assert {module: names for module in PURE_IN_IO_FOLDERS if (names := banned(module))} == {}


def banned(module: str) -> set[str]:
    """What a module imports and may not."""
    found = {
        name.split(".")[0]
        for node in ast.walk(ast.parse((ROOT / module).read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    return found & BANNED


# Calls that take text apart, and what looks like a child's name or its device in one.
SPLITS = {"startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition"}
SPLITS |= {"split", "rsplit"}
CHILD_TEXT = re.compile(r"\b(child|worker|egress|ingest)(\.(text|place|device_name))?$|^str\(child")


def text_splits(module: str) -> list[str]:
    """Calls that take a child's name apart."""
    found = []
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in SPLITS:
            continue
        words = {word.value for word in ast.walk(node) if isinstance(word, ast.Constant)}
        names_kind = any(
            isinstance(word, str) and word.startswith(("ingest:", "worker:", "egress:", "cpu"))
            for word in words
        )
        if names_kind or CHILD_TEXT.search(ast.unparse(node.func.value)):
            found.append(ast.unparse(node))
    return found


def test_a_childs_name_is_never_taken_apart() -> None:
    """It is a `ChildId`, whose fields say what it is; its text is for people."""
    others = [module for module in modules() if not module.startswith("common/rtmp")]
    assert {module: found for module in others if (found := text_splits(module))} == {}


def test_a_folder_says_what_lives_there_and_what_may_not() -> None:
    for package in {Path(name).parent for name in modules()}:
        words = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text())) or ""
        assert len(re.findall(r"\.(?=\s|$)", words)) >= 2, package


def test_exceptions_to_the_rules_name_files_that_exist() -> None:
    for name in TESTED_ELSEWHERE:
        assert (ROOT / name).is_file(), name
    for name in PURE_IN_IO_FOLDERS:
        assert (ROOT / name).is_file(), name
        assert may_do_io(name), f"pyproject.toml: {name} is pure without being named"
    for pattern in IO_PATTERNS:
        assert any(ROOT.glob(pattern)), f"pyproject.toml: {pattern} matches no file"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_in_documents_resolve(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text()):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (document.parent / file) if file else document
        assert path.is_file(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, target


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_is_shown_as_meant(document: Path) -> None:
    assert list(odd_lines(document.read_text())) == []


def test_every_document_stands_in_the_navigation_of_the_site() -> None:
    """Notes are linked from what they are notes on; `make site` fails where a page is nowhere."""
    nav = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    at_the_top = {"changelog.md", "security-policy.md"}  # scripts/build_site.py
    assert sorted(re.findall(r": (\S+\.md)$", nav, re.MULTILINE)) == sorted(pages | at_the_top)


def test_commands_and_targets_that_documents_tell_to_type_exist() -> None:
    known = commands()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for document in DOCUMENTS:
        text = document.read_text()
        assert unknown_commands(text, known) == [], document.name
        assert make_targets(text) - targets == set(), document.name


def test_files_that_documents_name_exist() -> None:
    """`folder/file.py` in a document is a promise; so is `file.py` in the module map."""
    for document in DOCUMENTS:
        for name in re.findall(r"`((?:\w+/)+\w+\.(?:py|md|toml|sh))`", document.read_text()):
            assert (ROOT / name).is_file(), f"{document.name}: {name}"
    for row in re.findall(
        r"^\| `(\w+(?:/\w+)*)/` \| (.*)$", (ROOT / "docs/architecture.md").read_text(), re.MULTILINE
    ):
        for name in re.findall(r"`(\w+\.py)`", row[1]):
            assert (ROOT / row[0] / name).is_file(), f"architecture.md: {row[0]}/{name}"


def test_the_module_map_has_every_folder() -> None:
    """A device's folder and a command's stand in the row of the folder above."""
    text = (ROOT / "docs/architecture.md").read_text()
    rows = set(re.findall(r"^\| `(\w+(?:/\w+)*)/` \| ", text, re.MULTILINE))
    folders = {Path(name).parent for name in modules()}
    wanted = {"/".join(folder.parts[:2]) for folder in folders if len(folder.parts) > 1}
    assert wanted - rows == set()


def test_the_streams_of_an_egress_are_forbidden_every_output() -> None:
    """import-linter holds it for the outputs that its contract names."""
    (contract,) = (
        contract
        for contract in PROJECT["tool"]["importlinter"]["contracts"]
        if contract["name"] == "The streams of an egress know no output"
    )
    folders = {Path(name).parent.as_posix() for name in modules() if name.startswith("egress/")}
    outputs = {folder.replace("/", ".") for folder in folders - {"egress", "egress/streams"}}
    assert outputs - set(contract["forbidden_modules"]) == set()


def test_the_kits_readme_names_every_module_of_it() -> None:
    text = (ROOT / "tests/kit/README.md").read_text()
    modules = {path.name for path in (ROOT / "tests/kit").glob("*.py")}
    assert set(re.findall(r"`(\w+\.py)`", text)) == modules


def test_what_is_unreleased_is_ordered_for_who_upgrades() -> None:
    """By what changed for whom, in short parts: a merge may bring a pile back."""
    text = (
        (ROOT / "CHANGELOG.md").read_text().partition("\n## Unreleased\n")[2].partition("\n## ")[0]
    )
    head, *parts = text.split("\n### ")
    assert "\n- " not in head
    for part in parts:
        assert part.startswith(("Added", "Changed", "Fixed")), part.partition("\n")[0]
        assert part.count("\n- ") <= 20, part.partition("\n")[0]


def test_every_message_kind_is_documented() -> None:
    for name in ("api", "capture", "cluster", "command", "control", "encoder", "media"):
        module = f"common.ipc.{name}_messages"
        importlib.import_module(module)  # registers its kinds
    importlib.import_module("common.link.messages")
    text = (ROOT / "docs/wire.md").read_text()
    missing = [kind for kind in kinds() if f"`{kind}`" not in text]
    assert missing == []


def test_the_tables_of_configuration_keys_are_those_of_their_declarations() -> None:
    """`make docs` writes them."""
    text = (ROOT / "docs/configuration.md").read_text()
    assert with_tables(text) == text


def test_every_exit_code_is_documented() -> None:
    text = (ROOT / "docs/commands.md").read_text()
    for code in ExitCode:
        assert f"| {code.value} | `{code.name}` |" in text
    rows = re.findall(r"^\| (\d+) \| `([A-Z_]+)` \|", text, re.MULTILINE)
    assert {(int(number), name) for number, name in rows} == {(c.value, c.name) for c in ExitCode}


def test_every_environment_variable_is_documented() -> None:
    """That the code reads; those of libraries are theirs."""
    text = (ROOT / "docs/commands.md").read_text()
    read = re.compile(r"environ(?:\.get)?[\[(]\"([A-Z_]+)\"")
    named = {
        name for module in modules_that_log() for name in read.findall((ROOT / module).read_text())
    }
    assert {name for name in named if f"`{name}`" not in text} - {"OPENBLAS_NUM_THREADS"} == set()


# What a log has beside the events of calls: lines that nobody took, and what libraries say.
OTHER_EVENTS = {"log lines lost": {"count"}, LIBRARY: {"logger"}}


def test_every_log_event_is_documented_with_its_values() -> None:
    """A new one is a row of docs/log.md. Its format string has fixed words, then `name=%s` each."""
    logged, hidden = dict(OTHER_EVENTS), list[str]()
    for module in modules_that_log():
        events, without_words = log_events(ROOT, module)
        hidden += without_words
        for event, values in events.items():
            logged[event] = logged.get(event, set()) | values
    assert hidden == []
    text = (ROOT / "docs/log.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| (.*?) ?\| (.+) \|$", text, re.MULTILINE)
    documented = {event: set(re.findall(r"`(\w+)`", values)) for event, values, _ in rows}
    assert len(rows) == len(documented)
    assert documented.keys() ^ logged.keys() == set()
    assert {event for event in logged if logged[event] != documented[event]} == set()


def test_what_troubleshooting_tells_to_look_for_exists() -> None:
    """Log events, as docs/log.md has them; and codes of notices and refusals."""
    text = (ROOT / "docs/troubleshooting.md").read_text()
    spans = {span.partition(" …")[0] for span in re.findall(r"`([^`\n]+)`", text)}
    events = set(re.findall(r"^\| `([^`]+)` \|", (ROOT / "docs/log.md").read_text(), re.MULTILINE))
    operations = (ROOT / "docs/operations.md").read_text()
    notices = set(re.findall(r"^\| `([a-z]+-[a-z-]+)` \|", operations, re.MULTILINE))
    phrases = {span for span in spans if re.fullmatch(r"[A-Za-z]+( [a-z,]+)+", span)}
    phrases = {phrase for phrase in phrases if not phrase.startswith("tfarm ")}
    assert phrases - events - {"source only", "there is no app"} == set()
    codes = {span for span in spans if re.fullmatch(r"[a-z]+(-[a-z]+)+", span)}
    assert codes - notices - {reason.value for reason in (*RefusalReason, *Cause)} == set()


def test_values_of_log_events_do_not_hide_what_every_line_has() -> None:
    reserved = {"time", "level", "process", "event", "logger", "message", "traceback", "more"}
    for module in modules_that_log():
        for event, values in log_events(ROOT, module)[0].items():
            assert not values & reserved, event


@pytest.mark.parametrize("package", PACKAGES)
def test_our_packages_are_ours_alone(package: str) -> None:
    """Plain import names must not be shadowed by another distribution in this environment."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    assert Path(spec.origin).parent == ROOT / package
    providers = importlib.metadata.packages_distributions().get(package, [])
    assert [name for name in providers if name != "tfarm"] == []


def tracked() -> list[Path]:
    """The files of the repository that are here."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is no git checkout")
    names = filter(None, listed.stdout.decode().split("\0"))
    return [path for path in map(ROOT.joinpath, names) if path.is_file()]


def test_what_linters_are_given_is_all_that_there_is() -> None:
    makefile = (ROOT / "Makefile").read_text()
    given = dict(re.findall(r"^(PACKAGES|SHELL_SCRIPTS) := (.+)$", makefile, re.MULTILINE))
    assert set(given["PACKAGES"].split()) == {
        *PROJECT["tool"]["importlinter"]["root_packages"],
        "scripts",
    }
    shell = re.compile(rb"#!.*\b(ba|da|)sh\b")
    scripts = {path for path in tracked() if path.suffix == ".sh" or shell.match(path.read_bytes())}
    assert set(map(ROOT.joinpath, given["SHELL_SCRIPTS"].split())) == scripts


def test_no_file_names_a_machine_or_a_registry() -> None:
    """Paths of the machine that a file was written on, and hosts of package registries."""
    hosts = ("pypi" + ".org", "pythonhosted" + ".org", "registry." + "npmjs", "/" + "opt/pypi")
    homes = tuple("/" + name + "/" for name in ("work/main", "home/runner", "root"))
    for path in tracked():
        text = path.read_text(errors="replace")
        assert not [word for word in (*hosts, *homes) if word in text], path


def test_requirements_are_pinned_with_hashes() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        entries = path.read_text().replace("\\\n", " ").splitlines()
        for entry in entries:
            if entry and not entry.startswith(("#", " ")):
                assert re.match(r"[\w.\-\[\]]+==\S+ .*--hash=sha256:", entry), (
                    f"{path.name}: {entry}"
                )
            assert not entry.lstrip().startswith(("-i", "--index", "--extra", "-f", "--find"))


def test_status_codes_of_rtmp_stand_in_common_rtmp_alone() -> None:
    """Everybody else speaks of refusals with `common/access/refusal.py`."""
    code = re.compile(r"\"Net(?:Stream|Connection)\b")
    named = [
        name
        for name in modules()
        if not name.startswith("common/rtmp/") and code.search((ROOT / name).read_text())
    ]
    assert named == []


def test_no_identifier_holds_a_private_word() -> None:
    """tests/repository/words.py has the words, and what to say instead."""
    assert {module: words for module in modules() if (words := private_words(ROOT, module))} == {}


def test_allowed_identifiers_are_in_use() -> None:
    used = {
        name for module in modules() for name in identifiers(ast.parse((ROOT / module).read_text()))
    }
    assert {name for names in ALLOWED.values() for name in names} - used == set()


def test_documents_that_code_cites_exist() -> None:
    assert {source: gone for source in SOURCES if (gone := missing(ROOT, source))} == {}


def test_what_is_long_or_complex_gives_its_reason() -> None:
    """tests/repository/sizes.py has the limits, and how a reason is given."""
    python = [path for path in SOURCES if path.suffix == ".py"]
    found: set[str] = set()
    for path in python:
        found |= too_long(path, path.relative_to(ROOT).as_posix())
    assert sorted(found) == []
    assert [line for path in python for line in complex_without_reason(path)] == []


def _assigned_attributes(module: str) -> list[str]:
    """`owner.name` of every attribute that a module writes to anything but `self`."""
    targets: list[ast.expr] = []
    for node in ast.walk(ast.parse((ROOT / module).read_text())):
        if isinstance(node, ast.Assign):
            targets += node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets.append(node.target)
    parts = [part for target in targets for part in ast.walk(target)]
    return [
        ast.unparse(part)
        for part in parts
        if isinstance(part, ast.Attribute)
        and isinstance(part.ctx, ast.Store)
        and ast.unparse(part.value) != "self"
    ]


def test_what_a_stream_of_the_farm_is_is_written_in_its_own_module_alone() -> None:
    """Its state above all: others let events happen, by its methods."""
    everywhere = {"state", "phase"}
    fields = {field.name for field in dataclasses.fields(Stream)} | everywhere
    found = [
        f"{module}: {attribute}"
        for module in modules()
        if module.startswith("supervisor/") and module != "supervisor/farm/stream.py"
        for attribute in _assigned_attributes(module)
        if attribute.rpartition(".")[2]
        in (fields if module.startswith("supervisor/farm/") else everywhere)
    ]
    assert found == []
