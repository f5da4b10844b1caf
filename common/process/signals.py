"""What a child does with signals before its loop handles them (IO: signals)."""

import signal


def hold_signals() -> None:
    """Leave Ctrl-C to the supervisor, and let SIGTERM end a process that still starts.

    A child calls it first, before all imports that take long.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
