"""The page in a real browser: it shows, it follows, it says when it cannot, on a desk and on a phone."""

import asyncio
import math
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import uvicorn

from maximus_assets.contracts.base import floor_to_step
from maximus_assets.contracts.decision import DecisionRecord
from maximus_assets.contracts.prediction import Forecast, ForecastPoint
from maximus_assets.contracts.telemetry import Sample
from serving.knowledge.store import Heartbeat, KnowledgeStore
from serving.settings import Settings
from serving.wiring import build_gateway

pytestmark = pytest.mark.chromium

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BIN = timedelta(seconds=300)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class Server:
    """The gateway on a port, which can go away and come back."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._gateway = build_gateway(self._settings)
        config = uvicorn.Config(
            self._gateway.app, host="127.0.0.1", port=self.port, log_config=None, ws="none", lifespan="on"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._gateway.hub.close()
            self._server.should_exit = True
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._server = None


class House:
    """What a loop would write."""

    def __init__(self, url: str) -> None:
        self._url = url

    def _write(self, write) -> None:
        async def run():
            async with KnowledgeStore(self._url) as store:
                await write(store)

        # The browser's driver keeps an event loop in this thread.
        writer = threading.Thread(target=lambda: asyncio.run(run()))
        writer.start()
        writer.join()

    def decide(
        self, reason: str, *, kind: str = "noop", ago: timedelta = timedelta(), count: int = 1
    ) -> None:
        at = datetime.now(UTC) - ago
        record = DecisionRecord(
            id=uuid4(),
            target="demo-shop",
            first_at=at,
            last_at=at,
            count=count,
            epoch=2,
            kind=kind,
            is_dry_run=True,
            reason=reason,
            state={"demand_expected_per_second": 149.25, "a_very_long_name_of_a_figure_without_a_break": 1},
            confidence=0.8,
            model_version="3",
        )
        self._write(lambda store: store.restore_decisions([record]))

    def beat(self, ago: timedelta = timedelta()) -> None:
        at = datetime.now(UTC) - ago
        targets = {
            "host": {"status": "cold", "reason": "the window is short", "bins": 84},
            "demo-shop": {"status": "ok"},
        }
        beat = Heartbeat(
            "loop",
            "box:1",
            2,
            1,
            at - timedelta(hours=3),
            at,
            at,
            0.04,
            720,
            "leading",
            {"champion_version": "3", "targets": targets},
        )
        self._write(lambda store: store.beat(beat))

    def live(self) -> None:
        """Eight hours of a shop with its forecasts, and some decisions."""
        now = floor_to_step(datetime.now(UTC), 300)
        bins = [now - BIN * back for back in range(100)]

        def expected(at: datetime) -> float:
            return 120 + 60 * math.sin(at.timestamp() / 3600)

        async def write(store):
            await store.record_samples(
                [Sample("demo-shop", "request_rate_per_second", at, expected(at) + 5) for at in bins[1:]]
            )
            await store.record_forecasts(
                [
                    Forecast(
                        target="demo-shop",
                        sensor="request_rate_per_second",
                        issued_at=issued,
                        status="ok",
                        model_version="3",
                        points=tuple(
                            ForecastPoint(
                                at=at, mean=expected(at), lower=expected(at) - 12, upper=expected(at) + 12
                            )
                            for at in (issued + BIN * step for step in range(1, 13))
                        ),
                    )
                    for issued in bins[1:]
                ]
            )

        self._write(write)
        self.beat()
        self.decide("10 replicas are needed by half past.", kind="propose", ago=BIN)
        self.decide("8 replicas hold the expected load: no change.", ago=BIN * 3, count=214)


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM.exists():
        pytest.skip("Chromium is missing; install it with: apt-get install -y chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def house(database) -> House:
    return House(database.app)


@pytest.fixture
def server(database, tmp_path) -> Iterator[Server]:
    server = Server(
        Settings(
            root=tmp_path,
            data_dir=tmp_path,
            database_url=database.app,
            database_read_url=database.read,
            loop_period_seconds=5,
        )
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def visit(browser, server):
    """Opens the page; at the end no page may have complained on its console."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: str = "/", *, width: int = 1280, may_complain: bool = False, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        if not may_complain:
            page.on(
                "console",
                lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None,
            )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(server.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.mark.parametrize("width", [1280, 375])
def test_state_chart_and_decisions_are_seen_without_scrolling_sideways(visit, house, width, tmp_path):
    house.live()
    page = visit(width=width)
    page.locator("#connection[data-state=live]").wait_for()
    assert page.locator("h1").inner_text() == "The loop is leading."
    assert page.get_by_text("Dry run: nothing is changed.").is_visible()
    assert page.get_by_text("Seen so far: 84 five-minute bins, 7 h in all.").is_visible()
    shop = page.locator("#target-demo-shop")
    for part in ("path.came", "path.band.past", "path.band.ahead", "path.mean.ahead", "line.now"):
        box = shop.locator(f"svg {part}").first.bounding_box()
        assert box is not None, part
        assert box["height"] > 5, part
    assert page.locator(".decision").count() == 2
    assert page.locator(".decision .count").inner_text().startswith("\N{MULTIPLICATION SIGN}\u202f214")
    for summary in page.locator(".decision summary").all():
        summary.click()
    assert page.get_by_text("demand expected per second").first.is_visible()
    assert page.evaluate(OVERFLOW) <= 0
    page.screenshot(path=tmp_path / f"page-{width}.png", full_page=True)


def test_a_new_decision_appears_without_a_reload_and_is_announced(visit, house):
    house.live()
    page = visit()
    page.locator("#connection[data-state=live]").wait_for()
    page.evaluate("window.isTheSamePage = true")
    page.locator(".decision summary").nth(1).click()
    opened = page.locator(".decision details[open]").get_attribute("id")
    house.decide("12 replicas are needed now.", kind="propose")
    page.locator(".decision", has_text="12 replicas are needed now.").wait_for()
    assert page.evaluate("window.isTheSamePage")
    assert "12 replicas are needed now." in page.locator("#news").inner_text()
    assert page.locator("#news").get_attribute("aria-live") == "polite"
    assert page.locator(".decision").first.get_attribute("data-kind") == "propose"
    assert page.locator(".decision details[open]").get_attribute("id") == opened, "what was open stays open"


def test_a_loop_that_goes_quiet_under_an_open_page_is_called_quiet(visit, house):
    house.beat()
    page = visit()
    assert page.locator("h1").inner_text() == "The loop is leading."
    house.beat(ago=timedelta(minutes=3))
    page.get_by_role("heading", name="The loop has gone quiet.").wait_for()
    assert page.locator("#state").get_attribute("data-status") == "stale"


def test_a_lost_gateway_is_owned_up_to_and_its_return_noticed(visit, house, server):
    house.live()
    page = visit(may_complain=True)  # the browser itself logs each refused connection
    page.locator("#connection[data-state=live]").wait_for()
    server.stop()
    page.locator("#connection[data-state=lost]").wait_for()
    assert page.locator("#connection").inner_text().startswith("Disconnected. As of ")
    house.decide("Decided meanwhile.")
    server.start()
    page.locator("#connection[data-state=live]").wait_for()
    page.locator(".decision", has_text="Decided meanwhile.").wait_for()


def test_the_page_is_whole_without_its_script(visit, house):
    house.live()
    page = visit(java_script_enabled=False)
    assert page.locator("h1").inner_text() == "The loop is leading."
    assert page.locator(".decision").count() == 2
    assert "as of" in page.locator("#connection").inner_text()
    assert "/s" in page.locator("#target-demo-shop dd").first.inner_text()


def test_single_values_are_read_by_pointer_and_by_keyboard(visit, house):
    house.live()
    page = visit()
    plot = page.locator("#plot-demo-shop")
    tip = plot.locator(".tip")
    plot.locator("path.came").first.wait_for()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tip.get_by_text("came").wait_for()
    page.mouse.move(0, 0)
    tip.wait_for(state="hidden")
    plot.focus()
    page.keyboard.press("End")
    tip.get_by_text("interval").wait_for()
    ahead = tip.inner_text()
    assert "came" not in ahead, "what is ahead has not come"
    page.keyboard.press("ArrowLeft")
    assert tip.inner_text() != ahead


LUMINANCE = """(names) => {
  const style = getComputedStyle(document.documentElement);
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  return names.map((name) => {
    canvas.fillStyle = style.getPropertyValue(name);
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((value) => {
      const part = value / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_what_is_behind_them(visit, scheme):
    """WCAG 2.2, success criterion 1.4.3: a contrast of at least 4.5 to 1."""
    page = visit(color_scheme=scheme)
    pairs = [
        (ink, ground)
        for ink in ("--ink", "--soft", "--accent", "--good", "--warn", "--bad")
        for ground in ("--ground", "--paper", "--faint")
    ] + [("--good", "--good-soft"), ("--warn", "--warn-soft"), ("--bad", "--bad-soft")]
    for ink, ground in pairs:
        light, dark = sorted(page.evaluate(LUMINANCE, [ink, ground]), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (scheme, ink, ground)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(12, 14, 17)") == (scheme == "dark")


@pytest.mark.parametrize("width", [1280, 375])
def test_the_reference_is_readable_at_any_width(visit, width):
    page = visit("/docs", width=width)
    assert page.get_by_role("heading", name="API", exact=True).is_visible()
    assert page.evaluate(OVERFLOW) <= 0
