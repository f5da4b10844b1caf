"""common/srt/reject_codes.py: refusals as callers see them."""

import pytest

from common.access.credentials import IN_USE
from common.access.refusal import Cause, Refusal, RefusalReason
from common.srt.reject_codes import reject_code, words_of


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (IN_USE, 1409),
        (Refusal(RefusalReason.DENIED, "no app", cause=Cause.NO_APP), 1404),
        (Refusal(RefusalReason.DENIED, "key", cause=Cause.WRONG_KEY), 1401),
        (Refusal(RefusalReason.DENIED, "many", cause=Cause.LIMIT), 1402),
        (Refusal(RefusalReason.DENIED, "hook", cause=Cause.HOOK_DENIED), 1403),
        (Refusal(RefusalReason.FULL, "no room"), 1402),
        (Refusal(RefusalReason.UNAVAILABLE, "later"), 1503),
        (Refusal(RefusalReason.UNSUPPORTED, "codec"), 1415),
        (Refusal(RefusalReason.BANNED, "ban"), 1403),
        (Refusal(RefusalReason.NOT_FOUND, "what", cause=Cause.BAD_ADDRESS), 1400),
    ],
)
def test_a_refusal_has_the_number_that_http_has_for_it(refusal: Refusal, code: int) -> None:
    assert reject_code(refusal) == code


@pytest.mark.parametrize("reason", RefusalReason)
@pytest.mark.parametrize("cause", Cause)
def test_every_refusal_has_one_of_the_standards(reason: RefusalReason, cause: Cause) -> None:
    assert 1400 <= reject_code(Refusal(reason, "x", cause=cause)) < 1600


def test_a_caller_is_told_in_words_what_a_listener_said() -> None:
    assert words_of(1404, "x") == "the listener has nothing by this streamid (PREDEFINED:404)"
    assert words_of(2000, "x") == "the listener refused (PREDEFINED:1000)"
    assert words_of(10, "incorrect passphrase") == "incorrect passphrase"
