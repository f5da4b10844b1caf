"""What is hidden after a loss, and for how long."""

from worker.frames.damage import DamageGate


def test_an_undamaged_stream_is_shown() -> None:
    gate = DamageGate()
    gate.keyframe_in(0)
    assert all(gate.shows(pts_ms, is_damaged=False) for pts_ms in range(0, 5000, 40))


def test_a_damaged_picture_hides_all_up_to_the_next_keyframe() -> None:
    gate = DamageGate()
    gate.keyframe_in(0)
    assert gate.shows(0, is_damaged=False)
    assert not gate.shows(40, is_damaged=True)
    assert not gate.shows(80, is_damaged=False)
    gate.keyframe_in(120)
    assert gate.shows(120, is_damaged=False)
    assert gate.shows(160, is_damaged=False)


def test_pictures_shown_before_a_keyframe_that_is_already_in_stay_hidden() -> None:
    # with B-frames the keyframe goes in before pictures of earlier times come out
    gate = DamageGate()
    gate.unit_lost(100)
    gate.keyframe_in(200)
    assert not gate.shows(160, is_damaged=False)
    assert not gate.shows(180, is_damaged=True)
    assert gate.shows(200, is_damaged=False)


def test_a_damaged_keyframe_mends_nothing() -> None:
    gate = DamageGate()
    gate.unit_lost(0)
    gate.keyframe_in(40)
    assert not gate.shows(40, is_damaged=True)
    assert not gate.shows(80, is_damaged=False)


def test_after_a_second_concealed_pictures_are_better_than_none() -> None:
    gate = DamageGate(freeze_ms=1000)
    shown = [pts_ms for pts_ms in range(0, 3000, 40) if gate.shows(pts_ms, is_damaged=True)]
    assert shown == list(range(1000, 3000, 40))


def test_units_are_not_decoded_until_one_may_mend_the_loss() -> None:
    gate = DamageGate(freeze_ms=1000)
    assert gate.takes(0, is_key=False)
    gate.unit_lost(40)
    assert not gate.takes(80, is_key=False)
    assert gate.takes(120, is_key=True)
    gate.keyframe_in(120)
    assert gate.takes(160, is_key=False)
    gate.unit_lost(200)
    assert not gate.takes(240, is_key=False)
    assert gate.takes(1040, is_key=False)
