"""What self-contained HTML pages share: style and script, text that stays text, and the hashes that a policy names."""

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from unicorn_hf.cards.formats import template
from unicorn_hf.cards.text import shortened
from unicorn_hf.core.visible import visible

if TYPE_CHECKING:
    from jinja2 import Template

MAX_SHORT = 300


def page_template(path: Path) -> "Template":
    """Load the template of a page. It escapes all text; the filter `shown` is `shown_text`."""
    return template(path, {"shown": shown_text}, autoescape=True)


def page_style() -> str:
    """The style sheet, which follows the reader's light or dark scheme."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def page_script() -> str:
    """What the scripts of pages share; it comes before them."""
    return Path(__file__).with_name("page.js").read_text(encoding="utf-8")


def shown_text(text: str, limit: int = MAX_SHORT) -> str:
    """Return `text` with every invisible character replaced by its code point; lines are kept."""
    return "\n".join(map(visible, shortened(text, limit).splitlines()))


def hashes(*sources: str) -> str:
    """Inline scripts or styles as a Content-Security-Policy names them, so that no others have an effect."""
    return " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}'" for source in sources
    )
