"""A headless Chromium, where the machine has one: it opens a page, runs a script in it, and says what it gave."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """Return the program: that of `CHROME_BIN`, else the first that is found."""
    named = os.environ.get("CHROME_BIN")
    return named or next((found for name in _NAMES if (found := shutil.which(name))), None)


needs_browser = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium here: apt-get install chromium, or CHROME_BIN=/path/to/chrome"
)


class Browser:
    """Opens pages, each in a fresh profile under `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def run(self, page: Path, script: str, *, width: int = 1280, height: int = 900) -> Any:
        """Return what `script`, the body of a function, returns in a loaded page, and what the console said."""
        own = page.read_text(encoding="utf-8")
        told = "document.body.replaceChildren(Object.assign(document.createElement('pre'), {id: 'told', textContent: "
        test = (
            f"<script>const result = (() => {{ {script} }})();{told}JSON.stringify(result ?? null)}}));</script></body>"
        )
        copy = page.with_name(f"tested_{page.name}")
        copy.write_text(own.replace("</body>", test), encoding="utf-8")
        found = self._start("--dump-dom", f"--window-size={width},{height}", copy.as_uri())
        match = re.search(r'<pre id="told">(.*?)</pre>', found.stdout, re.DOTALL)
        assert match is not None, found.stdout[-2000:] + found.stderr[-2000:]
        return json.loads(unescape(match[1])), re.findall(r"CONSOLE.*", found.stderr)

    def screenshot(self, page: Path, target: Path, *, width: int = 1280, height: int = 2600) -> None:
        """Write a picture of a page."""
        _ = self._start("--hide-scrollbars", f"--window-size={width},{height}", f"--screenshot={target}", page.as_uri())

    def _start(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        program = find_browser()
        assert program is not None
        options = [
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--enable-logging=stderr",
            "--disable-dev-shm-usage",
        ]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # as root it would not start else
        profile = f"--user-data-dir={self._folder / 'profile'}"
        command = [program, *options, profile, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=250, check=True)
