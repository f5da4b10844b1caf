"""How one is let in, as an operator says it: rules of ways, and signing keys. Pure values.

`common/access/authorise.py` applies them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Way(StrEnum):
    """One thing that lets a peer in."""

    OPEN = "open"  # nothing is asked for
    KEY = "key"  # one of the configured keys, as ?key=
    SIGNED = "signed"  # a signature of the URL, as ?token=
    HOOK = "hook"  # what the app's hook answers


# A rule lets in who fulfils all its ways; one of a list of rules is enough.
Rule = tuple[Way, ...]
Rules = tuple[Rule, ...]

EVERYBODY: Final[Rules] = ((Way.OPEN,),)
NOBODY: Final[Rules] = ((Way.SIGNED,),)  # where there are no keys to sign with


@dataclass(frozen=True, slots=True)
class Signing:
    """The keys by which URLs are signed."""

    keys: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # secrets, by key id
    clock_skew_s: float = 30.0  # that the clock of who signs may be off


def effective_rules(given: Rules, *, has_keys: bool, is_signed: bool, has_hook: bool) -> Rules:
    """The rules that hold: those given, else one for each of keys and signatures.

    A hook is asked about whoever fulfils one of these.
    """
    if given:
        return given
    ways = [way for way, is_there in ((Way.KEY, has_keys), (Way.SIGNED, is_signed)) if is_there]
    hook = (Way.HOOK,) if has_hook else ()
    if not ways:
        return (hook,) if hook else EVERYBODY
    return tuple((way, *hook) for way in ways)


def is_open(rules: Sequence[Rule]) -> bool:
    """Whether rules that hold let everybody in."""
    return (Way.OPEN,) in rules
