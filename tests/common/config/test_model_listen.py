"""The tables of listeners, and of publishers by SRT."""

import pytest
from pydantic import ValidationError

from common.config.model_listen import SrtTable
from common.config.settings import SrtSettings


def test_the_nearest_passphrase_is_a_streams() -> None:
    table = SrtTable.model_validate(
        {
            "passphrase": "for all of them",
            "passphrases": {"live": "for the app live", "live/cam": "for the camera"},
        }
    )
    settings = SrtSettings(**table.settings())
    assert settings.passphrase_of("live", "cam") == "for the camera"
    assert settings.passphrase_of("live", "other") == "for the app live"
    assert settings.passphrase_of("tv", "cam") == "for all of them"
    assert SrtSettings().passphrase_of("live", "cam") == ""


def test_passphrases_are_shown_nowhere() -> None:
    settings = SrtSettings(passphrase="for all of them", passphrases=(("live", "for the app"),))
    assert "for" not in repr(settings)
    assert settings.without_passphrases() == SrtSettings()
    with pytest.raises(ValidationError) as raised:
        SrtTable.model_validate({"passphrase": "short"})
    assert "10 to 79" in str(raised.value.errors()[0]["msg"])
