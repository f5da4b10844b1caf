"""What the doctor's process concludes of a driver that opens no more encoders.

Encoders of the host stand for the driver's sessions: how many are open is counted here.
"""

from fractions import Fraction

import pytest

from common.config.ladder import RenditionFormat
from common.errors import EncodeFailed, EncoderLimitReached
from common.media.pictures import PictureFormat
from worker.devices.gpu.probe import MAX_SESSIONS, Sessions, count_sessions, try_round
from worker.devices.software.device import SoftBackend
from worker.devices.software.encode import SoftEncoder

CAP = EncoderLimitReached("encoder session cap of the driver reached", 0)


class Refusing(SoftBackend):
    """Opens so many encoders, then fails."""

    def __init__(self, sessions: int, failure: EncodeFailed) -> None:
        super().__init__("cpu:0")
        self.free = sessions
        self.failure = failure

    def open_encoder(
        self, rendition: RenditionFormat, pictures: PictureFormat, fps: Fraction
    ) -> SoftEncoder:
        if not self.free:
            raise self.failure
        encoder = super().open_encoder(rendition, pictures, fps)
        self.free -= 1
        close = encoder.close

        def closed() -> None:
            self.free += 1
            close()

        encoder.close = closed  # type: ignore[method-assign]  # of this one alone
        return encoder


@pytest.mark.parametrize("sessions", [0, 2])
def test_a_round_without_enough_sessions_is_not_made_and_keeps_none(sessions: int) -> None:
    backend = Refusing(sessions, CAP)
    assert try_round(backend, 0.1) == (None, str(CAP))
    assert backend.free == sessions


def test_a_round_that_fails_otherwise_fails() -> None:
    with pytest.raises(EncodeFailed, match="out of device memory"):
        try_round(Refusing(1, EncodeFailed("out of device memory")), 0.1)


@pytest.mark.parametrize(
    ("sessions", "failure", "found"),
    [
        (3, CAP, Sessions(3, are_capped=True)),
        (0, CAP, Sessions(0, are_capped=True)),
        (2, EncodeFailed("out of device memory"), Sessions(2, problem="out of device memory")),
        (MAX_SESSIONS + 1, CAP, Sessions(MAX_SESSIONS)),
    ],
)
def test_only_the_drivers_cap_is_called_one(
    sessions: int, failure: EncodeFailed, found: Sessions
) -> None:
    backend = Refusing(sessions, failure)
    assert count_sessions(backend) == found
    assert backend.free == sessions
