"""Every command of `tfarm`, in the order of its help. The files beside this one have both ends."""

from supervisor.commands import (
    ban,
    capture,
    check,
    cluster,
    config,
    drain,
    fit,
    kick,
    label,
    rebalance,
    reload,
    sign,
    stop,
    supervisor,
    switch,
    unban,
    undrain,
    upgrade,
)
from supervisor.commands.calibrate import command as calibrate
from supervisor.commands.demo import command as demo
from supervisor.commands.doctor import command as doctor
from supervisor.commands.line import help
from supervisor.commands.replay import command as replay
from supervisor.commands.status import command as status

COMMANDS = {
    module.COMMAND.name: module.COMMAND
    for module in (
        supervisor,
        status,
        cluster,
        check,
        config,
        demo,
        stop,
        reload,
        upgrade,
        kick,
        ban,
        unban,
        switch,
        label,
        sign,
        capture,
        replay,
        drain,
        undrain,
        rebalance,
        fit,
        doctor,
        calibrate,
        help,
    )
}
