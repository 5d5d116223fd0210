"""``python -m psqlmodel``: the command of `psqlmodel.cli`."""

from __future__ import annotations

import sys

from psqlmodel.cli import main

if __name__ == "__main__":
    sys.exit(main())
