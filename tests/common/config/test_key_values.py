"""How a file writes the keys of one stream."""

import hashlib

import pytest

from common.config.key_values import KeyTexts, StreamKey, digest

HEX = hashlib.sha256(b"secret").hexdigest()


@pytest.mark.parametrize(
    ("value", "texts"),
    [("a", ("a",)), (["a", "b"], ("a", "b")), (f"sha256:{HEX}", (f"sha256:{HEX}",))],
)
def test_a_key_is_one_text_or_several(value: object, texts: tuple[str, ...]) -> None:
    assert KeyTexts().read(value) == texts
    assert KeyTexts().read(KeyTexts().write(texts)) == texts


@pytest.mark.parametrize("value", ["", [], 5, ["a", 5], "x" * 257, "sha256:abc", f"sha256:{HEX}0"])
def test_what_is_no_key_is_a_fault_that_does_not_show_it(value: object) -> None:
    with pytest.raises(ValueError, match=r"must|sha256") as caught:
        KeyTexts().read(value)
    assert "xxx" not in str(caught.value)


def test_a_key_in_clear_and_its_digest_are_the_same_key() -> None:
    assert digest("secret") == digest(f"sha256:{HEX}") == HEX
    assert digest("sha256:x") != "x"


@pytest.mark.parametrize("name", ["cam1", "a.b_c~-+@=,!", "x" * 128])
def test_a_stream_is_called_as_publishers_can_write_it(name: str) -> None:
    assert StreamKey().read(name) == name


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "ä", "x" * 129, 5])
def test_what_no_address_can_hold_is_no_stream(name: object) -> None:
    with pytest.raises(ValueError, match="must be 1 to 128"):
        StreamKey().read(name)
