"""common/ipc/view_answer.py: what an egress says first of a viewer."""

import pytest

from common.access.refusal import Cause, Refusal, RefusalReason
from common.errors import EnvelopeError
from common.ipc.envelope import encode
from common.ipc.unit_messages import PublishRefused
from common.ipc.view_answer import MAX_ANSWER_BYTES, ViewAnswer, framed, read_answer

REFUSAL = Refusal(RefusalReason.DENIED, "no", cause=Cause.NO_KEY)


@pytest.mark.parametrize("refusal", [None, REFUSAL])
def test_an_answer_is_read_from_pieces_and_what_follows_is_left(refusal: Refusal | None) -> None:
    answer = ViewAnswer(refusal)
    data = framed(answer)
    for end in range(len(data)):
        assert read_answer(data[:end]) is None
    assert read_answer(data + b"G...") == (answer, b"G...")


@pytest.mark.parametrize(
    "data",
    [
        (MAX_ANSWER_BYTES + 1).to_bytes(4, "big"),
        b"\x00\x00\x00\x02{}",
        (other := encode(PublishRefused(1, REFUSAL))) and len(other).to_bytes(4, "big") + other,
    ],
)
def test_others_are_none(data: bytes) -> None:
    with pytest.raises(EnvelopeError):
        read_answer(data)
