"""Fixtures: one browser for all tests, a fake coordinator and a page for each. A page that complains fails its test."""

import os
import pathlib

import pytest
from playwright.sync_api import sync_playwright

from fake_coordinator import FakeCoordinator, Scenario

SIZES = {"phone": {"width": 360, "height": 740}, "desktop": {"width": 1280, "height": 900}}


@pytest.fixture(scope="session")
def browser():
    with sync_playwright() as playwright:
        # Without a sandbox, because tests may run as root; the page under test is our own.
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page, the coordinator it talks to, and what the browser had to complain about."""

    def __init__(self, page, coordinator):
        self.page = page
        self.coordinator = coordinator
        self.complaints = []
        self.network_errors_expected = False
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))

    @property
    def scenario(self):
        return self.coordinator.scenario

    def _console(self, message):
        if message.type not in ("error", "warning"):
            return
        if self.network_errors_expected and message.text.startswith("Failed to load resource"):
            return
        self.complaints.append(f"{message.type}: {message.text}")

    def requests(self):
        return list(self.scenario.requests)


@pytest.fixture
def open_page(browser, request):
    opened = []

    def open_page(scenario=None, size="desktop", scheme="light", fragment="", errors=False, motion="no-preference",
                  ready=True, **options):
        coordinator = FakeCoordinator(scenario or Scenario(**options))
        context = browser.new_context(viewport=SIZES[size], color_scheme=scheme, reduced_motion=motion)
        context.set_default_timeout(15_000)
        result = Opened(context.new_page(), coordinator)
        result.network_errors_expected = errors
        opened.append((result, context))
        result.page.goto(coordinator.url + fragment)
        if ready:
            result.page.wait_for_selector(".connection.live, .connection.polling")
        return result

    yield open_page
    folder = os.environ.get("PAGES_PICTURES")
    complaints = []
    for index, (result, context) in enumerate(opened):
        if folder:
            name = request.node.name.replace("/", "_")
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            result.page.screenshot(path=f"{folder}/{name}-{index}.png", full_page=True)
        context.close()
        result.coordinator.stop()
        complaints += result.complaints
    assert complaints == []
