"""The limit of open descriptors, which every process raises at its start as far as it may.

The soft limit of 1,024 that most systems begin with is for programs that use select(); none of
ours does. Asks the kernel, otherwise without IO.
"""

import contextlib
import resource

UNLIMITED = 1 << 20  # what "unlimited" is taken for


def raise_limit(most: int | None = None) -> int:
    """Raise the soft limit to the hard one; returns how many descriptors may be open.

    `most`: to this one, for good, if the hard one is higher.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most is not None and (hard == resource.RLIM_INFINITY or hard > most):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return most
    if soft != hard:
        # the kernel may refuse "unlimited" though it names it as the limit
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return UNLIMITED if soft == resource.RLIM_INFINITY else soft
