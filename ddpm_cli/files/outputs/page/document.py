"""A whole page: one file with its styles and its script, that may not ask for anything else."""

import base64
import hashlib
from pathlib import Path

from ddpm_cli.files.outputs.page.markup import Markup, Part, element, escaped

HERE = Path(__file__).parent


def document(title: str, *body: Part) -> bytes:
    """The bytes of a page; browsers are told to load nothing, and to run its own script alone."""
    style, script = ((HERE / name).read_text("utf-8").strip() for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="color-scheme", content="light dark"),
        element("link", rel="icon", href="data:,"),
        Markup(f"<title>{escaped(title)}</title>"),
        Markup(f"<style>{style}</style>"),
    )
    main = element("body", *body, Markup(f"<script>{script}</script>"))
    page = f"<!DOCTYPE html>\n{element('html', head, main, lang='en').html}\n"
    return page.encode()
