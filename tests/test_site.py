"""The site builds without a warning, loads nothing from elsewhere, and none of its links is dead."""

import html.parser
import os
import re
import urllib.parse
from pathlib import Path

import pages
import pytest

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
# Of link elements: those that only say something of the page.
NAMED = {"canonical", "prev", "next", "alternate"}


class Read(html.parser.HTMLParser):
    """The ids, links and loaded files of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        source = given.get(LOADED.get(tag, ""), "")
        if source and not (tag == "link" and given.get("rel") in NAMED):
            self.loaded.append(source)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as ``make docs`` does, where a warning is an error."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(pages.ROOT / "mkdocs.yml"), site_dir=str(folder), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    return folder


@pytest.fixture(scope="module")
def read(site: Path) -> dict[Path, Read]:
    return {path: Read(path.read_text()) for path in site.rglob("*.html")}


def test_every_page_is_on_the_site(site: Path, read: dict[Path, Read]) -> None:
    for page in pages.pages():
        if page != "README.md":
            there = page.removeprefix("docs/").replace("README.md", "index.md").replace(".md", ".html")
            assert site / there in read, page


def test_nothing_is_loaded_from_elsewhere(site: Path, read: dict[Path, Read]) -> None:
    assert not {source for page in read.values() for source in page.loaded if "//" in source}
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert styles
    assert not re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\"']*", styles)


def test_no_link_is_dead(site: Path, read: dict[Path, Read]) -> None:
    dead = []
    for path, page in read.items():
        for link in {*page.links, *page.loaded}:
            parts = urllib.parse.urlsplit(link)
            # The page for what isn't found has its links from the site's root.
            if parts.scheme or parts.netloc or path.name == "404.html":
                continue
            there = Path(os.path.normpath(path.parent / urllib.parse.unquote(parts.path))) if parts.path else path
            there = there / "index.html" if there.is_dir() else there
            anchor = urllib.parse.unquote(parts.fragment)
            if not there.is_file() or (anchor and there in read and anchor not in read[there].ids | {"__top"}):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert not dead


def test_the_reference_has_every_command_option_and_setting(site: Path) -> None:
    from compressor.cli.main import COMMANDS
    from compressor.profile import shipped_names
    from compressor.report import Report, StageRecord

    def text(name: str) -> str:
        return (site / "reference" / f"{name}.html").read_text()

    assert not [name for name in COMMANDS if f'id="compress-{name}"' not in text("cli")]
    assert "as small as the limits allow" in text("cli")
    assert not [name for name in shipped_names() if f'id="{name}"' not in text("profiles")]
    fields = {*Report.model_fields, *StageRecord.model_fields}
    assert not [name for name in fields if f"<code>{name}</code>" not in text("report")]
    assert "channel_multiple" in text("profiles")
    assert "importance" in text("stages")
    assert "save_checkpoint" in text("python")


def test_pages_made_from_the_code_are_not_in_the_repository() -> None:
    assert [path.name for path in (pages.ROOT / "docs" / "reference").iterdir()] == ["index.md"]
