"""Which lines of a document would be shown otherwise than meant."""

import pytest

from tests.repository.markdown import odd_lines

RIGHT = {
    "a list": "Words:\n\n- one\n  and more\n- two\n",
    "a list in a list": "1. one\n    - a\n    - b\n2. two\n",
    "a paragraph and code in a list": "- one\n\n    ```sh\n    run\n    ```\n\n    More.\n",
    "a table": "Words\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "a table that is written by a program": "<!-- x -->\n| a |\n|---|\n| 1 |\n<!-- end -->\n",
    "code that looks like something else": "```\nwords\n- one\n| a |\n   - b\n```\n",
    "words behind a list": "- one\n\nWords\n",
}
ODD = {
    "a list right behind words": ("Words:\n- one\n", 2),
    "a list in a list behind three spaces": ("1. one\n   - a\n", 2),
    "a paragraph of a list behind two": ("- one\n\n  More.\n", 3),
    "code of a list behind two": ("- one\n\n  ```\n  x\n  ```\n", 3),
    "an entry right behind a paragraph": ("- one\n\n    More.\n- two\n", 4),
    "an entry right behind code": ("- one\n\n    ```\n    x\n    ```\n- two\n", 6),
    "code without fences": ("Words\n\n    run\n", 3),
    "a table right behind words": ("Words\n| a |\n|---|\n", 2),
    "rows behind an empty line": ("| a |\n|---|\n\n| 1 |\n", 4),
}


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT)
def test_what_is_shown_as_meant(text: str) -> None:
    assert list(odd_lines(text)) == []


@pytest.mark.parametrize(("text", "line"), ODD.values(), ids=ODD)
def test_what_is_not(text: str, line: int) -> None:
    assert [found.partition(":")[0] for found in odd_lines(text)] == [str(line)]
