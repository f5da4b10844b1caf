"""Lines of styled text that fit a width: columns, wrapped words. Pure.

Nothing here cuts a word where it could go elsewhere: a column that does not fit is left away, by
its priority, text goes on in the next line, and a name that is too long for its column gets a line
of its own. So every number and every address that is shown is whole.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

GAP = 2  # between columns
MIN_TEXT = 24  # a column of text that would be narrower is none
_STYLES = {"bold": "1", "dim": "2", "reverse": "7", "red": "31", "green": "32", "yellow": "33"}


@dataclass(frozen=True, slots=True)
class Span:
    """Text of one style: of `_STYLES`, or none."""

    text: str
    style: str = ""


Line = tuple[Span, ...]
Cell = Span | str


def cells(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def line_cells(line: Line) -> int:
    return sum(cells(span.text) for span in line)


def plain(line: Line) -> str:
    """The text without styles."""
    return "".join(span.text for span in line)


def render(line: Line, *, is_coloured: bool) -> str:
    """The text as a terminal shows it, with styles (ECMA-48, SGR) where it has colours."""
    if not is_coloured:
        return plain(line).rstrip()
    return "".join(
        f"\x1b[{_STYLES[span.style]}m{span.text}\x1b[0m" if span.style else span.text
        for span in line
    )


def span_of(cell: Cell) -> Span:
    return cell if isinstance(cell, Span) else Span(cell)


# ---- text -------------------------------------------------------------------------------------


def wrap(text: str, width: int, style: str = "", indent: int = 0) -> list[Line]:
    """Lines of whole words; a word that is longer than a line is cut, since it has to be."""
    room = max(1, width - indent)
    lines: list[str] = []
    current = ""
    for word in text.split():
        for piece in _pieces(word, room):
            joined = f"{current} {piece}" if current else piece
            if cells(joined) <= room:
                current = joined
            else:
                lines.append(current)
                current = piece
    if current:
        lines.append(current)
    return [(Span(" " * indent + line, style),) for line in lines]


def fit(lines: Iterable[Line], width: int) -> list[Line]:
    """The lines, those that are too wide for a very narrow terminal in several parts."""
    found: list[Line] = []
    for line in lines:
        is_wide = line_cells(line) > width
        found += wrap(plain(line), width, line[0].style) if is_wide else [line]
    return found


def _pieces(word: str, room: int) -> Iterable[str]:
    while cells(word) > room:
        end = 1
        while end < len(word) and cells(word[: end + 1]) <= room:
            end += 1
        yield word[:end]
        word = word[end:]
    yield word


def shorten(text: str, width: int) -> str:
    """The first words of a text that fit, with an ellipsis where some are left away."""
    if cells(text) <= width:
        return text
    found = ""
    for word in text.split():
        longer = f"{found} {word}" if found else word
        if cells(longer) + 2 > width:
            break
        found = longer
    return f"{found} …" if found else "…"[:width]


# ---- columns ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Column:
    """A column; those with the highest priority number are left away first, 0 never."""

    title: str
    priority: int = 0
    is_number: bool = False
    is_text: bool = False  # the last one: it takes the width that is left, and goes on below


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a cell for each column, and text that stands below it."""

    cells: tuple[Cell, ...]
    below: tuple[Span, ...] = ()
    indent: int = 4  # of the text below


def table(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Line]:
    """The rows with their titles, none wider than `width`."""
    sizes = [
        max([cells(column.title), *(cells(span_of(row.cells[i]).text) for row in rows)])
        for i, column in enumerate(columns)
    ]
    # A name of any length may have a line of its own: the others keep their columns for it.
    sizes[0] = min(sizes[0], max(16, width // 3))
    shown = list(range(len(columns)))
    while _total(columns, sizes, shown) > width:
        least = max(shown, key=lambda i: columns[i].priority)
        if columns[least].priority == 0:
            return _cards(columns, rows, width)
        shown.remove(least)
    fixed = [i for i in shown if not columns[i].is_text]
    text = next((i for i in shown if columns[i].is_text), None)
    longest = max(cells(span_of(row.cells[0]).text) for row in rows) if rows else 0
    spare = width - _total(columns, sizes, shown)
    if longest > sizes[0]:
        sizes[0] += min(spare, longest - sizes[0])
    if text is not None:
        sizes[text] = width - sum(sizes[i] + GAP for i in fixed)
    titles = [Span(_put(columns[i].title, sizes[i], columns[i]), "dim") for i in shown]
    lines: list[Line] = [_join(titles)]
    for row in rows:
        lines += _row(columns, row, sizes, fixed, text, width)
    return lines


def _total(columns: Sequence[Column], sizes: Sequence[int], shown: Sequence[int]) -> int:
    used = [min(MIN_TEXT, sizes[i]) if columns[i].is_text else sizes[i] for i in shown]
    return sum(used) + GAP * (len(used) - 1)


def _row(
    columns: Sequence[Column],
    row: Row,
    sizes: Sequence[int],
    fixed: Sequence[int],
    text: int | None,
    width: int,
) -> list[Line]:
    lines: list[Line] = []
    name = span_of(row.cells[0])
    if cells(name.text) > sizes[0]:
        lines += wrap(name.text, width, name.style)
        name = Span("")
    spans = []
    for i in fixed:
        span = span_of(row.cells[i]) if i else name
        spans.append(Span(_put(span.text, sizes[i], columns[i]), span.style))
    if text is None:
        lines.append(_join(spans))
    else:
        words = span_of(row.cells[text])
        wrapped = wrap(words.text, sizes[text], words.style) or [()]
        lines.append((*_join(spans), Span(" " * GAP), *wrapped[0]))
        indent = Span(" " * (width - sizes[text]))
        lines += [(indent, *rest) for rest in wrapped[1:]]
    for span in row.below:
        lines += wrap(span.text, width, span.style, row.indent)
    return lines


def _cards(columns: Sequence[Column], rows: Sequence[Row], width: int) -> list[Line]:
    """The rows where not even their first columns fit beside one another."""
    lines: list[Line] = []
    for row in rows:
        for column, cell in zip(columns, row.cells, strict=True):
            span = span_of(cell)
            if span.text.strip():
                lines += wrap(f"{column.title} {span.text}", width, span.style)
        for span in row.below:
            lines += wrap(span.text, width, span.style)
    return lines


def _put(text: str, size: int, column: Column) -> str:
    pad = " " * max(0, size - cells(text))
    return pad + text if column.is_number else text + pad


def _join(spans: Sequence[Span]) -> Line:
    found: list[Span] = []
    for span in spans:
        if found:
            found.append(Span(" " * GAP))
        found.append(span)
    return tuple(found)
