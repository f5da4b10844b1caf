"""Optional packages: what is here, and what to do where one is not."""

from common.extras import MODULES, WEBRTC, install_words, is_installed


def test_the_tests_have_what_webrtc_needs() -> None:
    assert is_installed(WEBRTC)


def test_it_says_what_to_install() -> None:
    assert install_words(WEBRTC) == 'pip install "tfarm[webrtc]"'
    assert set(MODULES) == {WEBRTC}
