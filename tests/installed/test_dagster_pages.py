"""What a newcomer sees in the Dagster UI, in a real browser: pictures that really render, checks in plain words."""

import pytest

pytestmark = [pytest.mark.chromium, pytest.mark.slow]

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]
SHOWN = "[...document.images].filter(i => i.src.startsWith('data:image/png')).map(i => i.naturalWidth)"


def test_pictures_of_what_is_learnt_from_and_words_of_the_checks_show_in_a_browser(installation):
    from playwright.sync_api import sync_playwright

    installation.wait(lambda: installation.child("dagster-web").state == "ready", "the pages were up")
    pages = installation.child("dagster-web").address

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(60_000)

        page.goto(f"{pages}/assets/feature_table")
        page.get_by_text("the day that is not over is not in it").first.wait_for()
        row = page.locator("tr", has_text="(picture)")
        row.get_by_text("[Show Markdown]").click()
        page.locator("img[src^='data:image/png']").wait_for()
        assert page.evaluate(SHOWN) == [800]

        page.goto(f"{pages}/assets/telemetry?view=checks")
        page.get_by_text("telemetry_units_hold").first.click()
        page.get_by_text("Demand is in the unit it was in before").first.wait_for()
        assert page.get_by_text("blocking").first.is_visible()
        assert page.get_by_text("Passed:").first.is_visible()
        browser.close()
