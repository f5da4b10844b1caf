"""Keys from the bytes that a terminal sends. Pure.

A key is its character, or one of the names below. Sequences are those of ECMA-48 as xterm, VTE,
the Linux console, tmux and screen send them; what is not known is no key, as the end of a paste.
"""

import codecs

UP, DOWN, PAGE_UP, PAGE_DOWN, HOME, END = "up", "down", "page up", "page down", "home", "end"
ENTER, ESCAPE, BACKSPACE, CTRL_C = "enter", "escape", "backspace", "ctrl-c"

_ESC = "\x1b"
_PLAIN = {
    "\r": ENTER,
    "\n": ENTER,
    "\x7f": BACKSPACE,
    "\b": BACKSPACE,
    "\x03": CTRL_C,
    "\x02": PAGE_UP,  # Ctrl-B and Ctrl-F, as in less
    "\x06": PAGE_DOWN,
}
_SEQUENCES = {
    "A": UP,
    "B": DOWN,
    "H": HOME,
    "F": END,
    "1~": HOME,
    "7~": HOME,
    "4~": END,
    "8~": END,
    "5~": PAGE_UP,
    "6~": PAGE_DOWN,
}
MAX_SEQUENCE = 32  # characters: a longer one is no key


class Keyboard:
    """Takes bytes as they come, in any pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")
        self._sequence = ""  # one that has begun

    @property
    def is_waiting(self) -> bool:
        """Whether more may follow: an ESC alone is a key when nothing does (`flush`)."""
        return bool(self._sequence)

    def feed(self, data: bytes) -> list[str]:
        """The keys that are whole by now."""
        keys: list[str] = []
        for character in self._decoder.decode(data):
            if self._sequence:
                keys += self._go_on(character)
            elif character == _ESC:
                self._sequence = character
            elif character in _PLAIN:
                keys.append(_PLAIN[character])
            elif character.isprintable():
                keys.append(character)
        return keys

    def flush(self) -> list[str]:
        """Nothing has come for a while: an ESC alone was the key."""
        was_alone, self._sequence = self._sequence == _ESC, ""
        return [ESCAPE] if was_alone else []

    def _go_on(self, character: str) -> list[str]:
        if self._sequence == _ESC:
            if character in "[O":  # CSI, or SS3 in application mode
                self._sequence += character
                return []
            self._sequence = ""
            if character == _ESC:
                self._sequence = _ESC
                return [ESCAPE]
            return []  # Alt and a key
        self._sequence += character
        if "@" <= character <= "~":  # the final byte
            found = _SEQUENCES.get(self._sequence[2:])
            self._sequence = ""
            return [found] if found else []
        if len(self._sequence) > MAX_SEQUENCE:
            self._sequence = f"{_ESC}[!"  # no known one begins so: the rest goes the same way
        return []
