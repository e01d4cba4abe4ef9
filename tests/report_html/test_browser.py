"""Both pages in a browser: drawn, sorted, printed, read without scripts, and open to everyone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import reports
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, Page, Route

from compressor.comparison import compared
from compressor.report_html import write_html
from compressor.report_html.compare import write_comparison

HOSTILE = "<script>alert(1)</script>"
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 360, "height": 740}
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each kind of page, with a script for every text that users choose."""
    folder = tmp_path_factory.mktemp("pages")
    report, full = reports.long_report(HOSTILE, wide=16), reports.full_report()
    write_html(report, folder / "report.html")
    runs = [
        (HOSTILE, report.model_copy(update={"score": full.score})),
        *((f"runs/{name}", full) for name in "abcdefgh"),
    ]
    write_comparison(compared(runs), folder / "compare.html")
    return {path.stem: path for path in folder.glob("*.html")}


@pytest.fixture
def opened(browser: Browser, pages: dict[str, Path]) -> Open:
    """Opens a page by its name, and fails if it asked for anything, or said anything."""

    @contextmanager
    def open_page(name: str, **settings: Any) -> Iterator[Page]:
        asked: list[str] = []
        told: list[str] = []
        address = pages[name].as_uri()

        def answer(route: Route) -> None:
            if route.request.url == address:
                route.continue_()
            else:
                asked.append(route.request.url)
                route.abort()

        def hear(message: ConsoleMessage) -> None:
            told.append(message.text)

        def dismiss(dialog: Dialog) -> None:
            told.append(dialog.message)
            dialog.dismiss()

        context = browser.new_context(**{"viewport": WIDE, **settings})
        page = context.new_page()
        page.route("**/*", answer)
        page.on("console", hear)
        page.on("dialog", dismiss)
        page.on("pageerror", lambda error: told.append(str(error)))
        page.goto(address)
        yield page
        context.close()
        assert asked == [] and told == []

    return open_page


def column(page: Page, table: str, place: int) -> list[str]:
    return page.locator(f"#{table} tbody tr td:nth-child({place})").all_inner_texts()


def head(page: Page, table: str, place: int) -> Locator:
    return page.locator(f"#{table} thead th:nth-child({place})")


def numbers(texts: list[str]) -> list[float]:
    return [float(text.replace(",", "").split(" ±")[0]) for text in texts if text not in ("–", "")]


@pytest.mark.parametrize("name", ["report", "compare"])
def test_all_is_drawn_and_hostile_names_are_text(opened: Open, name: str) -> None:
    with opened(name) as page:
        drawn = page.locator("figure svg").all()
        assert len(drawn) == {"report": 6, "compare": 2}[name]
        for box in (picture.bounding_box() for picture in drawn):
            assert box is not None and box["width"] > 300 and box["height"] > 200
        assert page.locator("script").count() == 1
        table = "waterfall" if name == "report" else "runs"
        assert any(HOSTILE in text for text in column(page, table, 1))
        assert HOSTILE in page.locator("figure svg text, figcaption").all_text_contents()[-1] or name == "report"


def test_every_part_of_a_report_is_there(opened: Open) -> None:
    rows = {"waterfall": 14, "layers": 16, "sensitivity": 24, "points": 1, "baselines": 3, "control": 1, "recall": 20}
    with opened("report") as page:
        for table, count in rows.items():
            assert page.locator(f"#{table} tbody tr").count() == count, table
        told = page.locator("details:has(#layers) summary").inner_text()
        assert told == "16 layers, 1 in float32, 15 in int8; 237 k of 555 k weights"
        float_layer, outputs = (page.locator(f"#layers tbody tr:nth-child({place})") for place in (4, 16))
        assert float_layer.text_content().endswith(f"float32-0.30 ± 0.20-0.30 ± 0.20float32: slower: {HOSTILE}")
        assert f"all channels: makes the outputs of {HOSTILE}" in outputs.text_content()


def test_a_table_sorts_by_click_and_by_keyboard(opened: Open) -> None:
    with opened("report") as page:
        size = head(page, "waterfall", 4)
        given = column(page, "waterfall", 4)
        assert size.get_attribute("aria-sort") == "none" and numbers(given) != sorted(numbers(given))
        size.get_by_role("button").click()
        assert numbers(column(page, "waterfall", 4)) == sorted(numbers(given))
        assert size.get_attribute("aria-sort") == "ascending"
        page.keyboard.press("Enter")
        assert numbers(column(page, "waterfall", 4)) == sorted(numbers(given), reverse=True)
        assert size.get_attribute("aria-sort") == "descending"
        page.keyboard.press("Space")
        assert column(page, "waterfall", 4) == given and size.get_attribute("aria-sort") == "none"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert head(page, "waterfall", 5).get_attribute("aria-sort") == "ascending"
        assert column(page, "waterfall", 5)[-1] == ""


def test_what_has_no_value_stays_below_and_texts_go_by_their_numbers(opened: Open) -> None:
    with opened("report") as page:
        page.get_by_text("16 layers").click()
        for order in (lambda values: values, lambda values: values[::-1]):
            head(page, "layers", 8).get_by_role("button").click()
            found = column(page, "layers", 8)
            assert numbers(found) == order(sorted(numbers(found))) and found[-4:] == 4 * ["–"]
        head(page, "layers", 1).get_by_role("button").click()
        assert column(page, "layers", 1)[:11] == [f"layer{place}.conv" for place in range(11)]


def test_long_tables_are_narrowed_and_paper_has_them_whole(opened: Open) -> None:
    with opened("report") as page:
        rows = page.locator("#layers tbody tr")
        assert not rows.first.is_visible()
        page.get_by_text("16 layers").click()
        page.locator("details:has(#layers) input").fill("FLOAT32")
        assert rows.filter(visible=True).count() == 1
        page.get_by_text("24 parts").click()
        page.get_by_text("16 layers").click()
        page.emulate_media(media="print")
        assert rows.filter(visible=True).count() == 16
        assert page.locator("#sensitivity tbody tr").filter(visible=True).count() == 24


def test_it_reads_without_scripts(opened: Open) -> None:
    with opened("report", java_script_enabled=False) as page:
        assert page.locator("button, input").count() == 0
        assert page.locator("#waterfall tbody tr").filter(visible=True).count() == 14
        page.get_by_text("16 layers").click()
        assert page.locator("#layers tbody tr").filter(visible=True).count() == 16


@pytest.mark.parametrize(("scheme", "viewport"), [("light", WIDE), ("dark", PHONE)], ids=["light", "dark and narrow"])
@pytest.mark.parametrize("name", ["report", "compare"])
def test_everyone_can_read_it(opened: Open, name: str, scheme: str, viewport: dict[str, int]) -> None:
    with opened(name, color_scheme=scheme, viewport=viewport) as page:
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, background.strip("rgb()").split(","))) > 384) == (scheme == "light")
        for summary in page.locator("summary").all():
            summary.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        found = Axe().run(page).response
        assert {"color-contrast", "scrollable-region-focusable"} <= {one["id"] for one in found["passes"]}
        bad = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        assert [(one["id"], one["nodes"][0]["html"]) for one in bad] == []
