"""common/config/hooks.py: which events a hook is sent."""

from dataclasses import replace

from common.config.hooks import HookEvent, Hooks


def test_without_an_address_nothing_is_sent() -> None:
    assert not any(Hooks().takes(event) for event in HookEvent)


def test_the_events_that_are_named_are_sent() -> None:
    hooks = Hooks(url="http://h/", events=(HookEvent.ON_PLAY,))
    assert [event for event in HookEvent if hooks.takes(event)] == [HookEvent.ON_PLAY]
    assert all(replace(hooks, events=Hooks().events).takes(event) for event in HookEvent)


def test_who_asks_waits_and_who_tells_does_not() -> None:
    assert [event.value for event in HookEvent if event.is_question] == ["on_publish", "on_play"]


def test_the_secret_stands_in_no_repr() -> None:
    assert "hunter2" not in repr(Hooks(url="http://h/", secret="hunter2hunter2"))
