"""The page's table of contexts, and what jobs say about memory."""

import re

import pytest
from playwright.sync_api import expect

from fake_coordinator import Scenario


def scenario(**options):
    made = Scenario(**options)
    made.contexts = [
        made.context("ruth"), made.context("a <b>bold</b> name " + "x" * 200, "gone", pinned=True, owner="ann"),
        made.context("romans", "ingesting", questions=0)]
    return made


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contexts_are_listed(open_page, size, scheme):
    page = open_page(scenario(workers=3), size=size, scheme=scheme).page
    rows = page.locator("table.contexts tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("ruth")
    expect(rows.nth(0)).to_contain_text("ready")
    expect(rows.nth(0)).to_contain_text("12,305")
    expect(rows.nth(0)).to_contain_text("270 MiB")
    expect(rows.nth(0)).to_contain_text("3 min ago")
    if size == "desktop":
        expect(rows.nth(0)).to_contain_text("alpha, beta, gamma")
    expect(rows.nth(1)).to_contain_text("a <b>bold</b> name")
    expect(rows.nth(1)).to_contain_text("pinned, ann")
    expect(rows.nth(1)).to_contain_text("gone")
    expect(rows.nth(2)).to_contain_text("ingesting")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_many_workers_are_not_all_named(open_page):
    page = open_page(scenario(workers=16)).page
    expect(page.locator("table.contexts tbody tr").first).to_contain_text(re.compile(r"zeta and 10 more"))


def test_without_contexts_there_is_no_table(open_page):
    opened = open_page(workers=3)
    expect(opened.page.locator("table.workers")).to_be_visible()
    expect(opened.page.locator("table.contexts")).to_be_hidden()
    opened.scenario.contexts = [opened.scenario.context("ruth")]
    expect(opened.page.locator("table.contexts")).to_be_visible(timeout=30_000)


def test_a_coordinator_that_knows_no_contexts_is_asked_once(open_page):
    made = Scenario(workers=3)
    made.contexts = None
    made.stream = False
    opened = open_page(made, errors=True)
    # Others are asked again and again meanwhile.
    asked = lambda name: sum(path.endswith(f"/{name}") for _, path in opened.requests())
    while asked("cluster") < 4:
        opened.page.wait_for_timeout(200)
    assert asked("contexts") == 1


def test_what_was_in_memory_is_said_and_not_counted_as_speed(open_page):
    made = scenario(workers=3, busy=False)
    made.extra_jobs = [made.job(
        "j60", "SUCCEEDED", prompt_tokens=12432, prefilled_tokens=12432, cached_tokens=12288, prefill_seconds=0.5,
        generated_tokens=5, decode_seconds=0.4, finish="end", options={"context": "ruth"}, shares=made.shares(1))]
    page = open_page(made, fragment="#/jobs/j60").page
    expect(page.locator(".phases")).to_contain_text(
        "12,432 of 12,432 tokens · 500 ms · 288 tokens/s · 12,288 of them were in memory")
    expect(page.locator(".facts")).to_contain_text("ruth")


def test_ingesting_has_no_answer(open_page):
    made = scenario(workers=3, busy=False)
    made.extra_jobs = [made.job("j61", "SUCCEEDED", prefilled_tokens=32768, prefill_seconds=60, finish="end",
                                options={"kind": "INGEST", "context": "ruth"})]
    page = open_page(made, fragment="#/jobs/j61").page
    expect(page.locator(".phases")).to_contain_text("32,768 of 32,768 tokens")
    expect(page.get_by_text("at most")).to_be_hidden()
    expect(page.get_by_role("heading", name="Answer")).to_be_hidden()
