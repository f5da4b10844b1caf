"""A seccomp filter for a process that decodes what strangers send, as a BPF program. Pure.

The filter lets a process go on with what it has: memory, threads, open descriptors, Unix sockets,
a driver's ioctls. It takes away what leads out of it: other programs and processes, other kinds of
sockets, other users' rights, and the parts of the kernel that are attacked most. It names what is
forbidden, because drivers and codecs bring system calls of their own with every version. Files are
Landlock's part (`common/process/landlock.py`), but for what Landlock does not know (modes, owners).

Sources: seccomp(2), linux/filter.h, linux/seccomp.h, linux/audit.h; the numbers are those of the
kernel's arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h.
"""

import errno
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

ALLOW: Final = 0x7FFF0000
ERRNO: Final = 0x00050000  # SECCOMP_RET_ERRNO, with the errno in the low 16 bits

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_JEQ: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_JGE: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_JSET: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06  # BPF_RET | BPF_K
# offsets in struct seccomp_data
_NUMBER: Final = 0
_ARCHITECTURE: Final = 4
_ARGUMENTS: Final = 16

_X32: Final = 0x40000000  # the x32 ABI's numbers begin here
_AF_UNIX: Final = 1
_CLONE_THREAD: Final = 0x00010000


class When(Enum):
    """The calls of one number that are forbidden."""

    ALWAYS = auto()
    NO_THREAD = auto()  # clone without CLONE_THREAD makes a process
    NOT_UNIX = auto()  # the first argument is an address family other than AF_UNIX
    NOT_OWN = auto()  # the first argument is a process other than this one, or 0


@dataclass(frozen=True, slots=True)
class Forbidden:
    """One system call; a number is None on an architecture that does not have the call."""

    name: str
    x86_64: int | None
    aarch64: int | None
    when: When = When.ALWAYS
    errno: int = errno.EPERM


@dataclass(frozen=True, slots=True)
class Architecture:
    """A machine whose system calls are known."""

    audit: int  # AUDIT_ARCH_*
    seccomp: int  # number of seccomp(2)
    has_x32: bool


ARCHITECTURES: Final[Mapping[str, Architecture]] = {  # by `os.uname().machine`
    "x86_64": Architecture(0xC000003E, seccomp=317, has_x32=True),
    "aarch64": Architecture(0xC00000B7, seccomp=277, has_x32=False),
}

_F = Forbidden
FORBIDDEN: Final[Sequence[Forbidden]] = (
    # other programs, other processes
    _F("execve", 59, 221),
    _F("execveat", 322, 281),
    _F("fork", 57, None),
    _F("vfork", 58, None),
    _F("clone", 56, 220, When.NO_THREAD),
    _F("clone3", 435, 435, errno=errno.ENOSYS),  # its flags are in memory; glibc then takes clone
    _F("ptrace", 101, 117),
    _F("process_vm_readv", 310, 270),
    _F("process_vm_writev", 311, 271),
    _F("process_madvise", 440, 440),
    _F("process_mrelease", 448, 448),
    _F("kcmp", 312, 272),
    _F("pidfd_open", 434, 434),
    _F("pidfd_send_signal", 424, 424),
    _F("pidfd_getfd", 438, 438),
    _F("kill", 62, 129, When.NOT_OWN),
    _F("tkill", 200, 130),
    _F("tgkill", 234, 131, When.NOT_OWN),
    _F("rt_sigqueueinfo", 129, 138, When.NOT_OWN),
    _F("rt_tgsigqueueinfo", 297, 240, When.NOT_OWN),
    _F("prlimit64", 302, 261, When.NOT_OWN),
    _F("migrate_pages", 256, 238, When.NOT_OWN),
    _F("move_pages", 279, 239, When.NOT_OWN),
    # sockets: what is bound stays bound, and Unix sockets may be connected
    _F("socket", 41, 198, When.NOT_UNIX),
    _F("socketpair", 53, 199, When.NOT_UNIX),
    _F("bind", 49, 200),
    _F("listen", 50, 201),
    # rights
    _F("setuid", 105, 146),
    _F("setgid", 106, 144),
    _F("setreuid", 113, 145),
    _F("setregid", 114, 143),
    _F("setgroups", 116, 159),
    _F("setresuid", 117, 147),
    _F("setresgid", 119, 149),
    _F("setfsuid", 122, 151),
    _F("setfsgid", 123, 152),
    _F("capset", 126, 91),
    _F("personality", 135, 92),
    # files, where Landlock has no word
    _F("chmod", 90, None),
    _F("fchmod", 91, 52),
    _F("fchmodat", 268, 53),
    _F("fchmodat2", 452, 452),
    _F("chown", 92, None),
    _F("fchown", 93, 55),
    _F("lchown", 94, None),
    _F("fchownat", 260, 54),
    _F("setxattr", 188, 5),
    _F("lsetxattr", 189, 6),
    _F("fsetxattr", 190, 7),
    _F("setxattrat", 463, 463),
    _F("utimensat", 280, 88),
    _F("mknod", 133, None),
    _F("mknodat", 259, 33),
    _F("name_to_handle_at", 303, 264),
    _F("open_by_handle_at", 304, 265),
    # mounts and namespaces
    _F("mount", 165, 40),
    _F("umount2", 166, 39),
    _F("pivot_root", 155, 41),
    _F("chroot", 161, 51),
    _F("unshare", 272, 97),
    _F("setns", 308, 268),
    _F("open_tree", 428, 428),
    _F("move_mount", 429, 429),
    _F("fsopen", 430, 430),
    _F("fsconfig", 431, 431),
    _F("fsmount", 432, 432),
    _F("fspick", 433, 433),
    _F("mount_setattr", 442, 442),
    # the kernel itself
    _F("io_uring_setup", 425, 425, errno=errno.ENOSYS),
    _F("io_uring_enter", 426, 426, errno=errno.ENOSYS),
    _F("io_uring_register", 427, 427, errno=errno.ENOSYS),
    _F("bpf", 321, 280),
    _F("perf_event_open", 298, 241),
    _F("userfaultfd", 323, 282),
    _F("add_key", 248, 217),
    _F("request_key", 249, 218),
    _F("keyctl", 250, 219),
    _F("fanotify_init", 300, 262),
    _F("quotactl", 179, 60),
    _F("quotactl_fd", 443, 443),
    _F("init_module", 175, 105),
    _F("finit_module", 313, 273),
    _F("delete_module", 176, 106),
    _F("kexec_load", 246, 104),
    _F("kexec_file_load", 320, 294),
    _F("reboot", 169, 142),
    _F("swapon", 167, 224),
    _F("swapoff", 168, 225),
    _F("acct", 163, 89),
    _F("syslog", 103, 116),
    _F("settimeofday", 164, 170),
    _F("clock_settime", 227, 112),
    _F("clock_adjtime", 305, 266),
    _F("adjtimex", 159, 171),
    _F("sethostname", 170, 161),
    _F("setdomainname", 171, 162),
    _F("vhangup", 153, 58),
    _F("iopl", 172, None),
    _F("ioperm", 173, None),
    _F("modify_ldt", 154, None),
)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction of classic BPF (struct sock_filter)."""

    code: int
    k: int
    if_true: int = 0  # instructions to skip
    if_false: int = 0

    def pack(self) -> bytes:
        return struct.pack("=HBBI", self.code, self.if_true, self.if_false, self.k)


def filter_program(
    machine: str, pid: int, forbidden: Sequence[Forbidden] = FORBIDDEN
) -> list[Instruction]:
    """Return the filter for this machine and this process.

    Raises:
        KeyError: the machine's system calls are not known here.
    """
    architecture = ARCHITECTURES[machine]
    program = [
        Instruction(_LOAD, _ARCHITECTURE),
        Instruction(_JEQ, architecture.audit, if_true=1),
        _refuse(errno.EPERM),  # 32-bit calls on a 64-bit kernel
        Instruction(_LOAD, _NUMBER),
    ]
    if architecture.has_x32:
        program += [Instruction(_JGE, _X32, if_false=1), _refuse(errno.EPERM)]
    for call in forbidden:
        number = call.x86_64 if machine == "x86_64" else call.aarch64
        if number is not None:
            body = _body(call, pid)
            program += [Instruction(_JEQ, number, if_false=len(body)), *body]
    return [*program, Instruction(_RETURN, ALLOW)]


def _body(call: Forbidden, pid: int) -> list[Instruction]:
    """Return what follows when the number is the call's; it ends with the verdict."""
    refuse, allow = _refuse(call.errno), Instruction(_RETURN, ALLOW)
    first = Instruction(_LOAD, _ARGUMENTS)  # the low half; int arguments have no other
    match call.when:
        case When.ALWAYS:
            return [refuse]
        case When.NO_THREAD:
            return [first, Instruction(_JSET, _CLONE_THREAD, if_false=1), allow, refuse]
        case When.NOT_UNIX:
            return [first, Instruction(_JEQ, _AF_UNIX, if_false=1), allow, refuse]
        case When.NOT_OWN:
            return [
                first,
                Instruction(_JEQ, pid, if_true=1),
                Instruction(_JEQ, 0, if_false=1),
                allow,
                refuse,
            ]


def _refuse(number: int) -> Instruction:
    return Instruction(_RETURN, ERRNO | number)
