"""The fields of a run's log that docs/training.md explains."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "training.md"


def documented_log_fields() -> set[str]:
    section = PAGE.read_text(encoding="utf-8").split("### What a run logs")[1].split("## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {"step", *(name for row in rows for name in re.findall(r"`(\w+)`", row))}
