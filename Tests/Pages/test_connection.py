"""News and no news: the stream, polling, stale data, tokens, hidden tabs."""

import re
import time

from playwright.sync_api import expect

from fake_coordinator import Scenario


def test_the_stream_moves_the_page(open_page):
    scenario = Scenario(workers=3, phase="PREFILL", fraction=0.2)
    page = open_page(scenario).page
    expect(page.locator(".connection")).to_have_text("live")
    expect(page.locator(".ring-centre")).to_contain_text("20%")
    scenario.fraction = 0.5
    expect(page.locator(".ring-centre")).to_contain_text("50%", timeout=4000)


def test_polling_alone_will_do(open_page):
    scenario = Scenario(workers=3, phase="PREFILL", fraction=0.2)
    scenario.stream = False
    page = open_page(scenario, errors=True).page
    expect(page.locator(".connection")).to_have_text("polling")
    expect(page.locator(".ring-centre")).to_contain_text("20%")
    scenario.fraction = 0.5
    expect(page.locator(".ring-centre")).to_contain_text("50%", timeout=8000)
    scenario.stream = True
    expect(page.locator(".connection")).to_have_text("live", timeout=20_000)


def test_stale_data_are_announced_and_recovered_from(open_page):
    opened = open_page(workers=3, phase="PREFILL", fraction=0.2, errors=True)
    page = opened.page
    expect(page.locator(".ring .node")).to_have_count(3)
    banner = page.locator("#banner")
    expect(banner).to_be_hidden()
    opened.coordinator.stop()
    expect(banner).to_be_visible(timeout=9_000)
    expect(banner).to_contain_text("No news from the coordinator: the coordinator cannot be reached.")
    expect(banner).to_contain_text(re.compile(r"What you see is from 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC, \d+ s old"))
    expect(page.locator(".connection")).to_have_text("no connection")
    # What was known stays on the page.
    expect(page.locator(".ring .node")).to_have_count(3)
    opened.scenario.fraction = 0.7
    opened.coordinator.start()
    expect(banner).to_be_hidden(timeout=35_000)
    expect(page.locator(".connection")).to_have_text("live", timeout=35_000)
    expect(page.locator(".ring-centre")).to_contain_text("70%")


def test_a_token_is_asked_for_and_kept_in_the_tab(open_page):
    opened = open_page(workers=3, phase="PREFILL", fraction=0.2, token="s3cret", errors=True, ready=False)
    page = opened.page
    expect(page.get_by_role("heading", name="Token")).to_be_visible()
    expect(page.locator(".gate")).to_contain_text("The coordinator wants to know who you are.")
    page.wait_for_timeout(1500)
    asked = len(opened.requests())
    page.wait_for_timeout(2500)
    assert len(opened.requests()) == asked, "it must not go on asking without a token"
    page.get_by_label("Bearer token").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.locator(".gate")).to_contain_text("The coordinator does not know this token.")
    page.get_by_label("Bearer token").fill("s3cret")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator(".connection")).to_have_text("live")
    expect(page.locator(".ring .node")).to_have_count(3)
    assert page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 1]
    assert not any("s3cret" in path for _, path in opened.requests())
    page.reload()
    expect(page.locator(".connection")).to_have_text("live")
    page.get_by_role("button", name="Forget token").click()
    expect(page.get_by_role("heading", name="Token")).to_be_visible()


def test_a_token_that_cannot_be_sent_is_refused_by_the_form(open_page):
    page = open_page(workers=1, token="s3cret", errors=True, ready=False).page
    page.get_by_label("Bearer token").fill("no blanks\u20ac")
    page.get_by_role("button", name="Continue").click()
    assert "ASCII" in page.eval_on_selector("#token", "input => input.validationMessage")


def test_a_token_without_the_role(open_page):
    scenario = Scenario(workers=3, phase="PREFILL", fraction=0.2, token="all", look_token="look")
    scenario.forbidden = "none"
    page = open_page(scenario, errors=True, ready=False, fragment="#/jobs/j42").page
    page.get_by_label("Bearer token").fill("none")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Not allowed")).to_be_visible()
    expect(page.locator(".gate")).to_contain_text("the role of this token is none")
    page.get_by_label("Bearer token").fill("look")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_role("dialog")).to_contain_text(
        "This token may look, but not cancel: it does not have the role submit.")


def test_a_hidden_tab_is_quiet(open_page):
    opened = open_page(workers=3, phase="PREFILL", fraction=0.2)
    page = opened.page
    expect(page.locator(".ring .node")).to_have_count(3)
    hide = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});" \
           " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    page.wait_for_timeout(300)
    before = len(opened.requests())
    page.wait_for_timeout(12_000)
    assert len(opened.requests()) == before
    opened.scenario.fraction = 0.8
    page.evaluate(hide, False)
    expect(page.locator(".ring-centre")).to_contain_text("80%", timeout=3000)
    expect(page.locator("#banner")).to_be_hidden()


def test_it_asks_with_measure(open_page):
    opened = open_page(workers=3, phase="PREFILL", fraction=0.2)
    opened.page.wait_for_selector(".ring .node")
    opened.page.wait_for_timeout(1000)
    start, before = time.time(), len(opened.requests())
    opened.page.wait_for_timeout(10_000)
    assert (len(opened.requests()) - before) / (time.time() - start) < 1


def test_elements_do_not_pile_up(open_page):
    scenario = Scenario(workers=8, phase="PREFILL", fraction=0.2)
    page = open_page(scenario).page
    page.wait_for_selector(".ring .node")
    page.wait_for_timeout(1500)
    number = page.evaluate("document.querySelectorAll('*').length")
    for step in range(6):
        scenario.fraction = 0.2 + 0.1 * step
        page.wait_for_timeout(1000)
    assert page.evaluate("document.querySelectorAll('*').length") <= number + 2
