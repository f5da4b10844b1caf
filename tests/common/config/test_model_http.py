"""The tables of what is served by HTTP: what a file says, and what it leaves out."""

import hashlib

from common.config.model_http import ApiTable, WebTable
from common.config.settings import ApiSettings, WebSettings


def test_tokens_are_kept_as_digests_alone() -> None:
    table = ApiTable.model_validate({"tokens": ["a token of some length"]})
    digest = hashlib.sha256(b"a token of some length").hexdigest()
    assert ApiSettings(**table.settings()) == ApiSettings(tokens=(digest,))


def test_what_is_left_out_keeps_its_default() -> None:
    assert WebSettings(**WebTable.model_validate({}).settings()) == WebSettings()
    table = WebTable.model_validate({"cors_origins": [], "max_viewers": 3})
    assert WebSettings(**table.settings()) == WebSettings(cors_origins=(), max_viewers=3)
