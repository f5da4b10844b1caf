"""Write what documents take from the code: keys, commands, metrics, notices, costs."""

from pathlib import Path

from api.metrics_table import with_metrics
from common.config.reference import with_tables
from common.notices.reference import with_notices
from ingest.doctor.source_rules import SOURCE_EVENTS, SOURCE_RULES
from supervisor.commands.line.reference import with_commands
from supervisor.placement.sizing_table import with_sizing
from worker.audio.level_rules import LEVEL_RULES
from worker.session.picture_rules import PICTURE_RULES

DOCUMENTS = Path(__file__).parent.parent / "docs"
COMMANDS = DOCUMENTS / "commands.md"
CONFIGURATION = DOCUMENTS / "configuration.md"
METRICS = DOCUMENTS / "metrics.md"
OPERATIONS = DOCUMENTS / "operations.md"
SIZING = DOCUMENTS / "sizing.md"

RULES = (*SOURCE_RULES, *PICTURE_RULES, *LEVEL_RULES)

if __name__ == "__main__":
    COMMANDS.write_text(with_commands(COMMANDS.read_text()))
    CONFIGURATION.write_text(with_tables(CONFIGURATION.read_text()))
    METRICS.write_text(with_metrics(METRICS.read_text()))
    OPERATIONS.write_text(with_notices(OPERATIONS.read_text(), RULES, SOURCE_EVENTS))
    SIZING.write_text(with_sizing(SIZING.read_text()))
