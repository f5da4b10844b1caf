"""The filter of system calls, run by an interpreter of classic BPF as linux/filter.h has it."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.process.seccomp import (
    ALLOW,
    ARCHITECTURES,
    ERRNO,
    FORBIDDEN,
    Forbidden,
    When,
    filter_program,
)

PID = 4711
MACHINES = tuple(ARCHITECTURES)
MAX_PROGRAM = 4096  # BPF_MAXINSNS


def verdict(
    machine: str, number: int, *arguments: int, audit: int | None = None, pid: int = PID
) -> int:
    data = {0: number, 4: ARCHITECTURES[machine].audit if audit is None else audit}
    for index in range(6):
        value = arguments[index] if index < len(arguments) else 0
        data[16 + 8 * index] = value & 0xFFFFFFFF
    program = filter_program(machine, pid)
    at, loaded = 0, 0
    while True:
        step = program[at]
        at += 1
        match step.code:
            case 0x20:
                loaded = data[step.k]
            case 0x06:
                return step.k
            case 0x15 | 0x35 | 0x45:
                holds = {
                    0x15: loaded == step.k,
                    0x35: loaded >= step.k,
                    0x45: bool(loaded & step.k),
                }[step.code]
                at += step.if_true if holds else step.if_false
            case code:
                raise AssertionError(f"unknown instruction {code:#x}")


def number_of(name: str, machine: str) -> int:
    call = next(call for call in FORBIDDEN if call.name == name)
    number = call.x86_64 if machine == "x86_64" else call.aarch64
    assert number is not None
    return number


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("call", FORBIDDEN, ids=lambda call: call.name)
def test_what_is_forbidden_always_fails_with_its_errno(machine: str, call: Forbidden) -> None:
    number = call.x86_64 if machine == "x86_64" else call.aarch64
    if number is None or call.when is not When.ALWAYS:
        return
    assert verdict(machine, number, 1, 2, 3) == ERRNO | call.errno


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "argument", "is_allowed"),
    [
        ("clone", 0x00010000 | 0x100, True),  # a thread
        ("clone", 0x11, False),  # SIGCHLD: a process
        ("socket", 1, True),  # AF_UNIX
        ("socket", 2, False),  # AF_INET
        ("socket", 10, False),  # AF_INET6
        ("socket", 16, False),  # AF_NETLINK
        ("socket", 40, False),  # AF_VSOCK
        ("socketpair", 1, True),
        ("kill", PID, True),
        ("kill", 0, True),
        ("kill", PID + 1, False),
        ("kill", -1, False),
        ("tgkill", PID, True),
        ("tgkill", 1, False),
        ("prlimit64", 0, True),
        ("prlimit64", PID - 1, False),
    ],
)
def test_by_the_first_argument(machine: str, name: str, argument: int, is_allowed: bool) -> None:
    expected = ALLOW if is_allowed else ERRNO | errno.EPERM
    assert verdict(machine, number_of(name, machine), argument) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_glibc_is_told_that_there_is_no_clone3_so_that_it_makes_threads_by_clone(
    machine: str,
) -> None:
    assert verdict(machine, 435) == ERRNO | errno.ENOSYS


@given(number=st.integers(0, 0x3FFFFFFF))
def test_all_other_calls_are_allowed(number: int) -> None:
    for machine in MACHINES:
        attribute = "x86_64" if machine == "x86_64" else "aarch64"
        if number not in {getattr(call, attribute) for call in FORBIDDEN}:
            assert verdict(machine, number, 7, 7, 7) == ALLOW


def test_the_calls_of_other_architectures_fail() -> None:
    assert verdict("x86_64", 0, audit=0x40000003) == ERRNO | errno.EPERM  # i386, by int 0x80
    assert verdict("x86_64", 0x40000000 | 59) == ERRNO | errno.EPERM  # x32
    assert verdict("aarch64", 0, audit=0x40000028) == ERRNO | errno.EPERM  # 32-bit ARM


@pytest.mark.parametrize("machine", MACHINES)
def test_no_number_stands_twice_and_the_kernel_takes_the_length(machine: str) -> None:
    attribute = "x86_64" if machine == "x86_64" else "aarch64"
    numbers = [getattr(call, attribute) for call in FORBIDDEN]
    known = [number for number in numbers if number is not None]
    assert len(known) == len(set(known))
    assert len(filter_program(machine, PID)) < MAX_PROGRAM
    assert len(filter_program(machine, PID)[0].pack()) == 8  # struct sock_filter
