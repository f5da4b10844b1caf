"""What status says of the pushes of a stream. Pure."""

from typing import Any

from common.additions.pushes import push_id, shown_target
from common.config.settings import Settings
from common.ipc.push_messages import PushStatus
from common.process.log import stream_label


def push_row(push: PushStatus) -> dict[str, Any]:
    """One push, as the status document has it."""
    return {
        "rendition": push.rendition,
        "address": push.address,
        "state": push.state.value,
        "reason": push.reason,
        "seconds": push.seconds,
        "calls": push.calls,
        "sent_bytes": push.sent_bytes,
        "dropped": push.dropped,
        "rtt_ms": push.rtt_ms,
        "repeated": push.repeated,
    }


def push_rule_rows(settings: Settings) -> list[dict[str, Any]]:
    """What the farm is to push, by the configuration and by requests; nothing of it is secret."""
    return [
        {
            "push": push_id(template.name, rule),
            "app": template.name,
            "streams": [stream_label(f"{template.name}/{key}") for key in rule.keys],
            "rendition": rule.rendition,
            "address": shown_target(rule.url),
            "is_added": rule.is_added,
        }
        for template in settings.templates
        for rule in template.pushes
    ]


def push_words(push: dict[str, Any]) -> str:
    """The same as a line for people."""
    since = f"for {push['seconds']:.0f} s"
    words = f"{push['rendition']} to {push['address']}: {push['state']} {since}"
    if push["reason"] and push["state"] != "sending":
        words += f" ({push['reason']}), {push['calls']} calls"
    return words + (f", {push['dropped']} pictures dropped" if push["dropped"] else "")
