"""Whether strangers may publish: an address that they reach, and an app without a rule. Pure.

A farm listens on loopback unless it is told otherwise. Who lets others reach it has to say who may
publish; an operator for whom everybody may says so by `publish_rules = ["open"]`.
"""

from collections.abc import Iterable, Mapping

from common.access.authorise import publish_rules
from common.access.peer_address import host_of, parse
from common.config.access import is_open
from common.config.settings import Settings


def is_local(host: str) -> bool:
    """Whether only this host reaches an address."""
    address = parse(host)
    return host.lower() == "localhost" if address is None else address.is_loopback


def publishers_addresses(listening: Mapping[str, Iterable[str]]) -> list[str]:
    """The addresses that a farm listens at for publishers, of all by protocol."""
    return [where for protocol, found in listening.items() if protocol != "http" for where in found]


def exposed_apps(settings: Settings) -> list[str]:
    """The apps without any rule for publishers."""
    return [
        template.name
        for template in settings.templates
        if not template.publish_rules and is_open(publish_rules(template))
    ]


def exposure(settings: Settings, listen: Iterable[str]) -> str:
    """A warning in words where strangers may publish; "": they may not.

    `listen`: addresses as HOST:PORT.
    """
    reached = [address for address in listen if not is_local(host_of(address))]
    apps = exposed_apps(settings)
    if not reached or not apps:
        return ""
    which = "the app" if len(apps) == 1 else "the apps"
    it = "it" if len(apps) == 1 else "each"
    return (
        f"anybody who reaches {', '.join(reached)} may publish to {which} {', '.join(apps)}: give "
        f'{it} publish_keys or signing, or publish_rules = ["open"] where that is meant'
    )


def has_secrets(settings: Settings) -> bool:
    """Whether the configuration has to hold secrets in clear: who reads them can sign."""
    return any(template.signing.keys or template.hooks.secret for template in settings.templates)
