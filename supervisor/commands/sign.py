"""`tfarm sign`: make a signed URL (IO: it reads the configuration, and the clock)."""

from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.access.bans import target_of
from common.access.signed_url import Direction, Grant, Network, sign
from common.config.key_values import StreamKey
from supervisor.commands.line.command import CommandSpec
from supervisor.commands.line.durations import seconds_of

if TYPE_CHECKING:
    from common.config.ladder import Template
    from common.config.settings import Settings

ADDRESS = "APP/KEY[/RENDITION]"
MAX_S = 10 * 366 * 86_400
ONCE_BYTES = 12  # of chance, which tell a single-use URL from all others


def run(
    config: Annotated[Path, typer.Argument(help="TOML file; its signing keys are used.")],
    direction: Annotated[Direction, typer.Argument(help="publish or play.")],
    address: Annotated[
        str, typer.Argument(metavar=ADDRESS, help="With a rendition, that one is played.")
    ],
    how_long: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="How long it is good.")
    ] = "1h",
    renditions: Annotated[
        list[str] | None,
        typer.Option("--rendition", metavar="NAME", help="This one too; may be given again."),
    ] = None,
    network: Annotated[
        str, typer.Option(metavar="NETWORK", help="Good from there alone: 203.0.113.0/24.")
    ] = "",
    once: Annotated[bool, typer.Option("--once", help="Good for one use.")] = False,
    key_id: Annotated[
        str, typer.Option("--key-id", metavar="ID", help="Without: the last key in the file.")
    ] = "",
    base: Annotated[
        str, typer.Option(metavar="URL", help="rtmp://video.example.com. Without: as it listens.")
    ] = "",
    token_only: Annotated[bool, typer.Option("--token", help="Print the token alone.")] = False,
) -> None:
    """Sign a URL to publish or to play.

    Without a rendition in the address, and without --rendition, all renditions may be played with
    it. The token is good for any other address of the same stream.
    """
    import secrets
    import time

    from supervisor.commands.banner import address_text, url_base

    seconds = seconds_of(how_long)
    if not seconds or seconds > MAX_S:
        problem = "must be a duration such as 30s, 10m, 2h or 7d, up to ten years"
        raise typer.BadParameter(problem, param_hint="--for")
    settings = _settings(config)
    app, key, rendition = _parts(address)
    template = settings.template(app)
    if template is None:
        raise typer.BadParameter(f"there is no app {app} in {config}", param_hint=ADDRESS)
    scope = _scope(template, direction, [rendition, *(renditions or [])])
    chosen, secret = _key(template, key_id)
    nonce = secrets.token_urlsafe(ONCE_BYTES) if once else ""
    grant = Grant(chosen, int(time.time()) + seconds, scope, _network(network), nonce)
    token = sign(secret, direction, app, key, grant)
    if token_only:
        typer.echo(token)
        return
    path = "/".join(part for part in (app, key, rendition) if part)
    base = base.rstrip("/") or url_base(address_text(settings.listen))
    typer.echo(f"{base}/{path}?token={token}")


def _settings(config: Path) -> "Settings":
    from common.config.load import load
    from common.errors import ConfigError
    from supervisor.commands.line.options import bad_config

    try:
        return load(config)
    except ConfigError as error:
        bad_config(error)


def _parts(address: str) -> tuple[str, str, str]:
    """App, stream key and rendition; "" where none is named."""
    app, _, rest = address.partition("/")
    key, slash, rendition = rest.partition("/")
    try:
        StreamKey().read(key)
    except ValueError as error:
        raise typer.BadParameter(f"the stream key {error}", param_hint=ADDRESS) from None
    if "/" in rendition or bool(slash) != bool(rendition):
        raise typer.BadParameter(f"must be {ADDRESS}", param_hint=ADDRESS)
    return app, key, rendition


def _scope(template: "Template", direction: Direction, names: list[str]) -> tuple[str, ...]:
    """The renditions that it is good for; none: all."""
    scope = tuple(dict.fromkeys(name for name in names if name))
    if direction is Direction.PUBLISH and scope:
        raise typer.BadParameter("is for playing: one publishes to APP/KEY", param_hint=ADDRESS)
    for name in scope:
        if name not in template.rendition_names():
            there = ", ".join(template.rendition_names())
            problem = f"{template.name} has no {name}; there are {there}"
            raise typer.BadParameter(problem, param_hint="--rendition")
    return scope


def _key(template: "Template", key_id: str) -> tuple[str, str]:
    """The id and the secret to sign with."""
    keys = dict(template.signing.keys)
    if not keys:
        problem = f"{template.name} has no signing keys: see templates.{template.name}.signing"
        raise typer.BadParameter(problem, param_hint="CONFIG")
    chosen = key_id or list(keys)[-1]
    if chosen not in keys:
        there = ", ".join(keys)
        raise typer.BadParameter(f"there is no such key; there are {there}", param_hint="--key-id")
    return chosen, keys[chosen]


def _network(text: str) -> Network | None:
    """The network of a URL; an address of IPv6 stands for its /64, as everywhere."""
    try:
        return ip_network(target_of(text)[0]) if text else None
    except ValueError:
        problem = "must be a network or an address, such as 203.0.113.0/24"
        raise typer.BadParameter(problem, param_hint="--network") from None


COMMAND = CommandSpec(
    "sign", run, example="tfarm sign farm.toml play live/cam1/720p --for 2h --network 203.0.113.7"
)
