"""A child's state machine, with time as a number."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import ExitCode
from supervisor.processes.lifecycle import (
    FIRST_BACKOFF_S,
    RUNNING,
    SERVED_S,
    SILENT_S,
    SLOW_S,
    STEADY_S,
    VITAL_BACKOFF_S,
    Adopt,
    CameUp,
    ChildMachine,
    ChildState,
    Event,
    Exited,
    Fail,
    HelloReceived,
    Kill,
    MessageReceived,
    Spawn,
    SpawnFailed,
    Start,
    Stop,
    Terminate,
    Tick,
    Warn,
    WentDown,
    describe_exit,
)


def ready(now: float = 0.0) -> ChildMachine:
    machine = ChildMachine()
    machine.handle(Start(), now)
    machine.handle(HelloReceived(), now)
    return machine


def test_a_child_is_spawned_and_ready_on_its_hello() -> None:
    machine = ChildMachine()
    assert machine.next_deadline() == math.inf
    assert machine.handle(Start(), 1.0) == [Spawn()]
    assert machine.state.value == "starting"
    assert machine.handle(HelloReceived(), 2.0) == [CameUp()]
    assert machine.state is ChildState.READY
    assert machine.restarts == 0


def test_without_a_hello_in_time_it_is_killed_and_started_anew() -> None:
    machine = ChildMachine(hello_timeout_s=5.0)
    machine.handle(Start(), 0.0)
    assert machine.next_deadline() == 5.0
    assert machine.handle(Tick(), 4.9) == []
    assert machine.handle(Tick(), 5.0) == [Kill("no hello within 5 s")]
    assert machine.state is ChildState.STOPPING
    assert machine.handle(Exited(-9), 5.1) == [Spawn()]
    assert machine.reason == "no hello within 5 s"


def test_slow_heartbeats_warn_once_and_silence_kills() -> None:
    machine = ready()
    assert machine.next_deadline() == SLOW_S
    assert machine.handle(Tick(), SLOW_S) == [Warn("no heartbeat for 3 s")]
    assert machine.next_deadline() == SILENT_S
    assert machine.handle(Tick(), SILENT_S - 0.1) == []
    kill, down = machine.handle(Tick(), SILENT_S)
    assert kill == Kill("no heartbeat for 10 s")
    assert down == WentDown("no heartbeat for 10 s", crashed=True)
    assert machine.state is ChildState.STOPPING


def test_a_heartbeat_after_the_warning_clears_it() -> None:
    machine = ready()
    machine.handle(Tick(), SLOW_S)
    machine.handle(MessageReceived(), 4.0)
    assert machine.next_deadline() == 4.0 + SLOW_S


def test_the_first_restart_is_at_once_and_then_back_off_doubles_to_its_limit() -> None:
    machine = ready()
    now = 1.0
    assert machine.handle(Exited(-11), now) == [
        WentDown("killed by signal 11 (SIGSEGV)", crashed=True),
        Spawn(),
    ]
    for wait in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        assert machine.handle(Exited(1), now) == []
        assert machine.state is ChildState.BACKOFF
        assert machine.next_deadline() == now + wait
        now += wait
        assert machine.handle(Tick(), now) == [Spawn()]
    assert machine.restarts == 8


def test_a_worker_whose_device_is_lost_is_tried_at_once_and_then_ever_later() -> None:
    machine = ready()
    lost = machine.handle(Exited(ExitCode.DEVICE_LOST, "NVIDIA L4: cudaErrorECC"), 1.0)
    assert lost == [WentDown("NVIDIA L4: cudaErrorECC", crashed=False), Spawn()]
    assert machine.handle(Exited(ExitCode.BOOT_FAILED, "cuInit: no device"), 2.0) == []
    assert (machine.state, machine.next_deadline()) == (ChildState.BACKOFF, 3.0)
    assert machine.handle(Tick(), 3.0) == [Spawn()]
    machine.handle(HelloReceived(), 4.0)
    again = machine.handle(Exited(ExitCode.DEVICE_LOST), 5.0)
    assert again == [WentDown("exit code 4 (device lost)", crashed=False)]
    assert machine.next_deadline() == 7.0


@pytest.mark.parametrize("code", [ExitCode.OK, ExitCode.DEVICE_LOST, ExitCode.ORPHANED])
def test_an_end_that_a_child_chose_is_no_crash(code: ExitCode) -> None:
    down, spawn = ready().handle(Exited(code), 100.0)
    assert isinstance(down, WentDown)
    assert not down.crashed
    assert spawn == Spawn()


def test_who_is_killed_by_hand_is_started_again_at_once_at_any_moment() -> None:
    machine = ChildMachine()
    machine.handle(Start(), 0.0)
    for i in range(20):
        assert machine.handle(Exited(-9, is_by_hand=True), i * 0.1)[-1] == Spawn()
        if i % 2:
            machine.handle(HelloReceived(), i * 0.1)
    machine.handle(Exited(-9, is_by_hand=True), 80.0)
    machine.handle(Tick(), 100.0)  # no hello: this kill is the supervisor's own
    assert machine.state is ChildState.STOPPING
    assert machine.handle(Exited(-9, is_by_hand=True), 100.1) == [Spawn()]
    machine.handle(Tick(), 200.0)
    assert machine.handle(Exited(-9, is_by_hand=True), 200.1) == []
    machine.handle(Stop(), 201.0)
    assert machine.state.value == "exited"


def test_a_kill_by_hand_is_no_crash_that_its_work_brought_about() -> None:
    down, spawn = ready().handle(Exited(-9, is_by_hand=True), 100.0)
    assert down == WentDown("killed by signal 9 (SIGKILL: by hand, or out of memory)", False)
    assert spawn == Spawn()
    down, _ = ready().handle(Exited(-9), 100.0)
    assert isinstance(down, WentDown)
    assert down.crashed


@pytest.mark.parametrize(
    ("code", "served_s"),
    [(-9, SERVED_S), (1, SERVED_S), (None, SERVED_S), (ExitCode.DEVICE_LOST, STEADY_S)],
)
def test_a_child_that_has_served_is_started_again_at_once_however_often_it_dies(
    code: int | None, served_s: float
) -> None:
    machine, now = ready(), 0.0
    for _ in range(30):
        now += served_s
        assert machine.handle(Exited(code), now)[-1] == Spawn()
        now += 0.5
        machine.handle(HelloReceived(), now)
    now += served_s - 0.1
    assert Spawn() not in machine.handle(Exited(code), now)
    assert machine.next_deadline() == now + FIRST_BACKOFF_S


@pytest.mark.parametrize("reason", ["it hangs", "its memory"])
def test_one_that_was_killed_for_a_reason_has_served_too(reason: str) -> None:
    machine, now = ready(), 0.0
    for _ in range(10):
        now += SERVED_S
        machine.handle(Fail(reason), now)
        now += 1.0  # it takes its time to die
        assert machine.handle(Exited(-9), now) == [Spawn()]
        machine.handle(HelloReceived(), now)


def test_what_never_came_up_has_not_served() -> None:
    machine = ready()
    machine.handle(Exited(-9), 1000.0)
    machine.handle(Tick(), 1020.0)  # no hello
    assert machine.handle(Exited(-9), 1020.1) == []
    assert machine.state is ChildState.BACKOFF


@pytest.mark.parametrize("code", [-9, 1, ExitCode.BOOT_FAILED])
def test_a_kind_without_which_nobody_is_served_waits_a_second_at_most(code: int) -> None:
    machine, now = ChildMachine(max_backoff_s=VITAL_BACKOFF_S), 0.0
    machine.handle(Start(), now)
    for _ in range(20):
        now += 0.1
        if machine.handle(Exited(code), now) != [Spawn()]:
            assert machine.next_deadline() - now == pytest.approx(VITAL_BACKOFF_S)
            now += VITAL_BACKOFF_S
            assert machine.handle(Tick(), now) == [Spawn()]


@pytest.mark.parametrize("code", [ExitCode.USAGE, ExitCode.UNUSABLE])
def test_what_starting_again_cannot_help_is_given_up_with_its_reason(code: ExitCode) -> None:
    machine = ChildMachine()
    machine.handle(Start(), 0.0)
    assert machine.handle(Exited(code, "aiortc cannot be loaded"), 0.5) == []
    assert (machine.state, machine.reason) == (ChildState.FATAL, "aiortc cannot be loaded")
    assert machine.handle(Tick(), 3600.0) == []


def test_exit_code_3_is_not_started_again_at_once() -> None:
    machine = ChildMachine()
    machine.handle(Start(), 0.0)
    assert machine.handle(Exited(3, "GPU is gone"), 1.0) == []
    assert machine.state is ChildState.BACKOFF
    assert machine.reason == "GPU is gone"
    assert machine.next_deadline() == 2.0


def test_exit_code_2_is_never_started_again() -> None:
    machine = ChildMachine()
    machine.handle(Start(), 0.0)
    assert machine.handle(Exited(2), 1.0) == []
    assert machine.state is ChildState.FATAL
    assert machine.next_deadline() == math.inf


def test_what_cannot_be_spawned_is_tried_again_later() -> None:
    machine = ChildMachine()
    machine.handle(Start(), 0.0)
    assert machine.handle(SpawnFailed("no memory"), 0.0) == []
    assert machine.state is ChildState.BACKOFF
    assert machine.reason == "cannot be started: no memory"


def test_stop_is_term_and_then_kill() -> None:
    machine = ready()
    assert machine.handle(Stop(), 1.0) == [
        WentDown("told to stop", crashed=False),
        Terminate(),
    ]
    assert machine.handle(Tick(), 5.9) == []
    assert machine.handle(Tick(), 6.0) == [Kill("did not end within 5 s")]
    assert machine.handle(Exited(-9), 6.1) == []
    assert machine.state is ChildState.EXITED
    assert machine.next_deadline() == math.inf


@pytest.mark.parametrize("code", [0, 1, 2, 3, -9])
def test_a_child_that_was_told_to_stop_stays_down_however_it_ends(code: int) -> None:
    machine = ready()
    machine.handle(Stop(), 1.0)
    assert machine.handle(Exited(code), 2.0) == []
    assert machine.state is ChildState.EXITED


def test_stop_in_back_off_cancels_the_restart() -> None:
    machine = ChildMachine()
    machine.handle(Start(), 0.0)
    machine.handle(Exited(3), 0.0)
    assert machine.handle(Stop(), 0.5) == []
    assert machine.state is ChildState.EXITED
    assert machine.handle(Tick(), 100.0) == []


def test_an_adopted_child_is_ready_at_once_and_watched_as_any_other() -> None:
    machine = ChildMachine()
    assert machine.handle(Adopt(), 5.0) == [CameUp()]
    assert machine.next_deadline() == 5.0 + SLOW_S
    assert machine.handle(Exited(None), 6.0) == [
        WentDown("ended, exit status unknown", crashed=True),
        Spawn(),
    ]


def test_a_condemned_child_is_killed_reported_once_and_started_anew() -> None:
    machine = ready()
    kill, down = machine.handle(Fail("hangs"), 1.0)
    assert (kill, down) == (Kill("hangs"), WentDown("hangs", crashed=True))
    assert machine.handle(Fail("hangs"), 1.1) == []
    assert machine.handle(Exited(-9), 1.2) == [Spawn()]


def test_a_late_hello_of_a_child_being_stopped_changes_nothing() -> None:
    machine = ready()
    machine.handle(Stop(), 1.0)
    assert machine.handle(HelloReceived(), 1.1) == []
    assert machine.state is ChildState.STOPPING


def test_exit_statuses_in_words() -> None:
    assert describe_exit(0) == "ended in order by signal 15 (SIGTERM)"
    assert describe_exit(4) == "exit code 4 (device lost)"
    assert describe_exit(77) == "exit code 77"
    assert describe_exit(-9).startswith("killed by signal 9 (SIGKILL")
    assert describe_exit(-15) == "killed by signal 15 (SIGTERM)"
    assert describe_exit(-64) == "killed by signal 64"


EVENTS: st.SearchStrategy[Event] = st.one_of(
    st.sampled_from(
        [Start(), Adopt(), HelloReceived(), MessageReceived(), Stop(), Tick(), Fail("x")]
    ),
    st.builds(Exited, st.sampled_from([None, 0, 1, 2, 3, 4, -9])),
    st.just(SpawnFailed("x")),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.floats(0.0, 40.0)), max_size=30))
def test_up_and_down_alternate_and_a_spawn_only_comes_when_nothing_runs(
    steps: list[tuple[Event, float]],
) -> None:
    machine = ChildMachine()
    now, is_up, runs = 0.0, False, False
    for event, wait in steps:
        now += wait
        if isinstance(event, Exited | SpawnFailed) and not runs:
            continue  # the shell cannot see an exit of what does not run
        if isinstance(event, Adopt) and machine.state is not ChildState.EXITED:
            continue
        if isinstance(event, Exited | SpawnFailed):
            runs = False
        if isinstance(event, Adopt):
            runs = True
        for action in machine.handle(event, now):
            if isinstance(action, CameUp):
                assert not is_up
                is_up = True
            if isinstance(action, WentDown):
                assert is_up
                is_up = False
            if isinstance(action, Spawn):
                assert not runs
                runs = True
        assert is_up == (machine.state is ChildState.READY)
        assert runs == (machine.state in RUNNING)
        assert machine.state is not ChildState.READY or math.isfinite(machine.next_deadline())
