"""How the machines run: a fixed budget, the same programs each time; `STATEFUL_EXAMPLES=3000` runs more, always others.

`STATEFUL_STEPS` is the length of a program.
"""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

EXAMPLES = int(os.environ.get("STATEFUL_EXAMPLES", "0"))
TIMEOUT = 0 if EXAMPLES else 600  # seconds, on a busy machine; 0: none
SETTINGS = settings(
    max_examples=EXAMPLES or 60,
    stateful_step_count=int(os.environ.get("STATEFUL_STEPS", "30")),
    derandomize=not EXAMPLES,
    database=None,
    report_multiple_bugs=False,
    phases=[Phase.generate, Phase.shrink] if EXAMPLES else [Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
