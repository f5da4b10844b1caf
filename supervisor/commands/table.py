"""Every command of `tfarm`, in the order of its help. The files beside this one have both ends."""

from supervisor.commands import (
    ban,
    calibrate,
    capture,
    check,
    config,
    doctor,
    drain,
    help,
    kick,
    label,
    rebalance,
    reload,
    sign,
    status,
    stop,
    supervisor,
    unban,
    undrain,
    upgrade,
)
from supervisor.commands.demo import command as demo
from supervisor.commands.replay import command as replay

COMMANDS = {
    module.COMMAND.name: module.COMMAND
    for module in (
        supervisor,
        status,
        check,
        config,
        demo,
        stop,
        reload,
        upgrade,
        kick,
        ban,
        unban,
        label,
        sign,
        capture,
        replay,
        drain,
        undrain,
        rebalance,
        doctor,
        calibrate,
        help,
    )
}
