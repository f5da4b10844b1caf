"""The player's files: by their content, compressed, and nothing else of the disk."""

import gzip
import hashlib
import re
from pathlib import Path

import pytest

from egress.web.player_files import FOREVER, POLICY, PlayerFiles

FILES = PlayerFiles()


def made(folder: Path, **files: str) -> PlayerFiles:
    folder.mkdir()
    for name, text in {"page.html": "{player}page.mjs", "page_mjs": "x", **files}.items():
        (folder / name.replace("_", ".")).write_text(text)
    return PlayerFiles(folder)


def test_the_page_finds_its_files_from_each_depth() -> None:
    for depth, way in ((2, "../../"), (3, "../../../")):
        text = FILES.page(depth).decode()
        assert f'src="{way}player/{FILES.version}/page.mjs"' in text
        assert "{" not in text


def test_all_that_the_page_and_its_modules_name_is_there() -> None:
    page = FILES.page(0).decode()
    names = set(re.findall(rf"player/{FILES.version}/([\w.]+)", page)) | {"mpegts.js"}
    assert names > {"page.css", "page.mjs"}
    for name in ("page.mjs", "ways.mjs", "decisions.mjs", "address.mjs", "sdp.mjs"):
        found = FILES.file(name, takes_gzip=False)
        assert found is not None
        names |= set(re.findall(r'(?:from|import\() ?"\./([\w.]+)"', found[0].decode()))
    assert "hls.min.mjs" in names
    for name in names:
        assert FILES.file(name, takes_gzip=False) is not None, name


def test_a_change_of_any_file_changes_the_version(tmp_path: Path) -> None:
    one = made(tmp_path / "one")
    assert one.version == made(tmp_path / "same").version
    assert one.version != made(tmp_path / "other", page_mjs="y").version
    assert one.version != made(tmp_path / "more", more_txt="").version


def test_files_are_compressed_for_those_who_take_it() -> None:
    plain, kind, is_compressed = FILES.file("hls.min.mjs", takes_gzip=False) or (b"", "", True)
    assert (kind, is_compressed) == ("text/javascript", False)
    packed, kind, is_compressed = FILES.file("hls.min.mjs", takes_gzip=True) or (b"", "", False)
    assert (kind, is_compressed) == ("text/javascript", True)
    assert len(packed) < len(plain) / 2
    assert hashlib.sha256(gzip.decompress(packed)).digest() == hashlib.sha256(plain).digest()


@pytest.mark.parametrize("name", ["", "page.html", "../page.py", "/etc/passwd", "..", "PAGE.MJS"])
def test_nothing_else_is_given(name: str) -> None:
    assert FILES.file(name, takes_gzip=False) is None


def test_only_the_version_of_today_may_be_kept() -> None:
    assert FILES.cache_control(FILES.version) == FOREVER
    assert FILES.cache_control("0" * 16) == "no-store"


def test_nothing_comes_from_elsewhere() -> None:
    assert "http" not in POLICY
    assert "unsafe" not in POLICY
    assert "http" not in re.sub(r"<!doctype html>", "", FILES.page(2).decode())
