"""The events that the code logs, by their format strings: for the table of docs/log.md."""

import ast
from collections.abc import Iterator
from pathlib import Path

from common.process.log_lines import event_of

LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
STREAM_LOGS = ("self.log", "self._streams.log")  # a `StreamLog`, which adds the stream
# Functions that are given an event's words, and what they add to its values. Calls of them in
# their module are events; what they hand on to the log is none.
FORWARDERS: dict[str, dict[str, tuple[str, ...]]] = {
    "ingest/streams/stream_log.py": {
        "info": ("stream",),
        "warning": ("stream",),
        "changes": ("stream",),
        "_log": ("stream",),
    },
    "worker/session/decode_stage.py": {"_complain": ("stream", "reason")},
    "worker/session/session.py": {"_log": ("stream",)},  # `Change.line`
    "worker/audio/run.py": {"_log": ("stream",), "_complain": ("reason",)},
    "egress/sockets/handover.py": {"_warn": (), "warn": ()},
    "common/notices/doctor.py": {"line": ("stream",)},
}


def log_events(root: Path, module: str) -> tuple[dict[str, set[str]], list[str]]:
    """Return the events of a module with the names of their values, and calls that hide theirs."""
    forwarders = FORWARDERS.get(module, {})
    events: dict[str, set[str]] = {}
    hidden = []
    for function, call, added in _calls(ast.parse((root / module).read_text()), forwarders):
        texts = _texts(call, function)
        if not texts:
            is_change = "change" in ast.unparse(call)  # of a notice: `Change.line` has its words
            if getattr(function, "name", "") not in forwarders and not is_change:
                hidden.append(f"{module}:{call.lineno}")
            continue
        names = {name for text in texts for name in event_of(text).fields if name}
        events.setdefault(event_of(texts[0]).name, set()).update(names, added)
    return events, hidden


def _calls(
    tree: ast.AST, forwarders: dict[str, tuple[str, ...]]
) -> Iterator[tuple[ast.AST, ast.Call | ast.Tuple, tuple[str, ...]]]:
    """Find what logs, the function that it stands in, and the values that are added to its."""
    around: list[tuple[ast.AST, ast.AST]] = [(tree, tree)]
    while around:
        function, node = around.pop()
        if isinstance(node, ast.FunctionDef):
            function = node
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple):
            if getattr(function, "name", "") in forwarders:
                yield function, node.value, forwarders[function.name]  # type: ignore[attr-defined]  # a function
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            receiver, name = ast.unparse(node.func.value), node.func.attr
            if receiver in STREAM_LOGS and name in ("info", "warning"):
                yield function, node, ("stream",)
            elif receiver == "log" and name in LEVELS:
                yield function, node, ()
            elif receiver == "self" and name in forwarders:
                yield function, node, forwarders[name]
        around += [(function, inner) for inner in ast.iter_child_nodes(node)]


def _texts(call: ast.Call | ast.Tuple, function: ast.AST) -> list[str]:
    """Return the words of the event and what is put behind them; none where they are not there."""
    arguments = call.elts if isinstance(call, ast.Tuple) else call.args
    found = [_text(argument, function) for argument in arguments]
    if isinstance(call, ast.Call) and ast.unparse(call.func) in ("log.log", "self._log"):
        found = found[1:]  # the level
    return [text for text in found if text] if found and found[0] else []


def _text(node: ast.expr, function: ast.AST) -> str:
    """Return the text of a literal, or of a variable that is one."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if not isinstance(node, ast.Name):
        return ""
    for other in ast.walk(function):
        if (
            isinstance(other, ast.Assign)
            and isinstance(other.value, ast.Constant)
            and node.id in [ast.unparse(target) for target in other.targets]
        ):
            return str(other.value.value)
    return ""
