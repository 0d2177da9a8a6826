"""A headless Chromium that shows a page, and tells what it asked for and complained of."""

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

ORIGIN = "http://page.test"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--metrics-recording-only",
    "--no-proxy-server", "--virtual-time-budget=2000", "--enable-logging=stderr",
)  # fmt: skip


class Seen(NamedTuple):
    """What came of a page: its elements at the end, messages, and all requests that were made."""

    dom: str
    console: list[str]
    asked: list[str]


def find() -> str:
    """The browser; the test is skipped where there is none."""
    name = next(filter(None, map(shutil.which, (os.environ.get("CHROME", ""), *NAMES))), None)
    if name is None:
        pytest.skip("no Chromium")
    return name


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Start it with a profile of its own."""
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [find(), *FLAGS, profile, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done


def seen(page: Path, folder: Path, *words: str) -> Seen:
    """Open a page that is served on a name; no name leads to any other place."""
    log = folder / "network.json"
    with _served(page.read_bytes()) as port:
        rules = f"--host-resolver-rules=MAP * 127.0.0.1:{port}"
        done = run(folder, rules, f"--log-net-log={log}", *words, "--dump-dom", f"{ORIGIN}/")
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(done.stdout, messages, _asked(log))


def _asked(log: Path) -> list[str]:
    """What was asked for by or for the page; a browser has requests of its own."""
    told = json.loads(log.read_text())
    begun = told["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    every = [
        event["params"] for event in told["events"] if event["type"] == begun and "params" in event
    ]
    return [
        params["url"]
        for params in every
        if "url" in params and ORIGIN in (params.get("initiator"), params["url"].rstrip("/"))
    ]


def picture(page: Path, path: Path, width: int, height: int, *words: str) -> None:
    """Take a screenshot of the top of a page."""
    size = f"--window-size={width},{height}"
    run(path.parent, *words, size, f"--screenshot={path}", page.resolve().as_uri())


@contextmanager
def _served(data: bytes) -> Iterator[int]:
    """Answer every request with the page, at this port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()
