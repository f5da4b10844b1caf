"""The table of a template's pushes, as a configuration file has it."""

from typing import Annotated, ClassVar

from common.config.key_values import StreamKey
from common.config.keys import Holds, Table, key, needed
from common.config.push_values import PushUrl
from common.config.pushes import PushRule
from common.config.values import Name

NOW = Holds.NOW


class PushTable(Table):
    """`[[templates.APP.push]]`."""

    title: ClassVar[str] = ""

    url: Annotated[str, PushUrl()] = needed(
        PushRule,
        "url",
        "whom to call: `srt://HOST:PORT?streamid=…&passphrase=…&latency=…` with the latency in "
        "milliseconds, `rtmp://HOST/APP/KEY` or `rtmps://HOST/APP/KEY`. `{app}`, `{key}` and "
        "`{rendition}` stand for the stream's own",
        NOW,
        example="srt://media.example.org:9000?streamid=publish:live/{key}",
    )
    rendition: Annotated[str, Name()] = needed(
        PushRule, "rendition", "what is sent: a rendition's name, or `source`", NOW, example="720p"
    )
    keys: tuple[Annotated[str, StreamKey()], ...] = key(
        PushRule, "keys", "the streams that are sent, by their keys; with none, all of the app", NOW
    )

    def rule(self) -> PushRule:
        """The rule that it stands for."""
        return PushRule(**self.settings())
