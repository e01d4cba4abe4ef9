"""What MkDocs does besides for the site: pages made from the code, and pages of the repository outside docs/.

A page keeps the links that hold in the repository; here they are turned to where the same file lies on the site.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference_pages import reference_pages

ROOT = Path(__file__).parents[1]
OUTSIDE = ("CHANGELOG.md", "examples/*/*.*", "compressor/*/README.md")
DOCS = "docs/"
REFERENCE = "reference/index.md"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what isn't in docs/."""
    for pattern in OUTSIDE:
        for path in sorted(ROOT.glob(pattern)):
            uri = path.relative_to(ROOT).as_posix()
            files.append(File(uri, str(ROOT), config.site_dir, config.use_directory_urls))
    for uri, text in reference_pages().items():
        files.append(File.generated(config, uri, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as they hold on the site; the reference's first page lists the generated ones."""
    uri = page.file.src_uri
    if uri == REFERENCE:
        made = [f"- [{text.splitlines()[0].lstrip('# ')}]({posixpath.basename(one)})"
                for one, text in reference_pages().items()]  # fmt: skip
        markdown += "\n" + "\n".join(made) + "\n"
    pieces = re.split(r"(^```.*?^```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(piece if piece.startswith("```") else _turned(piece, uri) for piece in pieces)


def _turned(text: str, uri: str) -> str:
    in_docs = (ROOT / DOCS / uri).exists()
    origin = posixpath.dirname(DOCS + uri if in_docs else uri)

    def turn(link: re.Match[str]) -> str:
        target, anchor = link[1], link[2] or ""
        if re.match(r"[a-z]+:", target):
            return link[0]
        there = posixpath.normpath(posixpath.join(origin, target)).removeprefix(DOCS)
        return f"]({posixpath.relpath(there, posixpath.dirname(uri) or '.')}{anchor})"

    return re.sub(r"\]\(([^)\s#]+)(#[^)\s]*)?\)", turn, text)
