"""Pages from templates: every value escaped, and no script but the one that sorts tables."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from compressor.writing import write_atomically

# The one script of every page. Browsers run no other: the page names its digest.
SCRIPT = Path(__file__).with_name("tables.js")


def write_page(template: str, path: Path, **values: Any) -> None:
    """Write a page that needs nothing beside it; every value is escaped.

    Args:
        template: Its name in this folder.
        path: The file; replaced in one step.
        **values: What the template names.
    """
    pages = Environment(
        loader=PackageLoader("compressor.report_html", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = SCRIPT.read_text(encoding="utf-8")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    known = {"script": script, "script_digest": f"sha256-{digest}"}
    write_atomically(path, pages.get_template(template).render(**known, **values).encode())
