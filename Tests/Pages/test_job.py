"""The view of one job."""

import re

import pytest
from playwright.sync_api import expect

from fake_coordinator import Scenario


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_shows_everything_about_a_job(open_page, size, scheme):
    page = open_page(workers=3, slow="beta", fragment="#/jobs/j41", size=size, scheme=scheme, busy=False).page
    expect(page.get_by_role("heading", name="j41")).to_be_visible()
    expect(page).to_have_title("j41 succeeded · Lariat")
    expect(page.locator(".job-title")).to_contain_text("succeeded (end)")
    expect(page.locator(".phases")).to_contain_text("12,000 of 12,000 tokens · 58.2 s · 206 tokens/s")
    expect(page.locator(".phases")).to_contain_text("214 of at most 256 tokens · 9.81 s · 21.7 tokens/s")
    expect(page.locator(".facts")).to_contain_text("longrope2, window 32,768, attention factor 1.0733")
    expect(page.locator("table.shares tbody tr")).to_have_count(3)
    expect(page.locator("table.shares tfoot")).to_contain_text("100.0%")
    expect(page.locator(".verdict")).to_have_text(
        "beta is the slowest: 1 min 13 s of computing where the others need 54.0 s; they waited for it 13.4 s of "
        "1 min 15 s; its share follows its speed from the next job on")
    expect(page.locator("tr.slow th")).to_have_text("beta")
    expect(page.locator(".map rect.heat")).to_have_count(9)
    expect(page.locator(".log li").last).to_contain_text("block of layer 3 came 1.2 s late")
    expect(page.locator(".answer-text")).to_contain_text("grandfather of a king")
    expect(page.get_by_role("button", name="Cancel job")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_an_even_ring_has_no_straggler(open_page):
    page = open_page(workers=8, fragment="#/jobs/j41", busy=False).page
    expect(page.locator(".verdict")).to_have_text("Even: no worker kept the others waiting.")


def test_the_map_is_read_by_pointer_and_keyboard(open_page):
    opened = open_page(workers=3, slow="beta", fragment="#/jobs/j41", busy=False)
    page = opened.page
    page.wait_for_selector(".map rect.heat")
    page.locator(".map").focus()
    page.keyboard.press("ArrowRight")
    readout = page.locator(".readout")
    expect(readout).to_contain_text("alpha, own block: ")
    expect(readout).not_to_contain_text("waiting")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    step = opened.scenario.shares(1)[1]["steps"][1]
    expect(readout).to_contain_text(f"beta, from 1 before: {step['compute_seconds']:.1f} s computing")
    expect(readout).to_contain_text("of the prefill)")
    expect(readout).to_contain_text("MiB")
    page.locator(".map rect.heat").nth(8).hover()
    expect(readout).to_contain_text("gamma, from 2 before")
    assert page.locator(".map-names text").all_text_contents()[-3:] == ["own block", "from 1 before", "from 2 before"]


def test_the_map_is_as_dark_as_the_verdict_is_bad(open_page):
    opened = open_page(workers=3, fragment="#/jobs/j41", busy=False)
    page = opened.page
    expect(page.locator(".verdict")).to_have_text("Even: no worker kept the others waiting.")
    expect(page.locator(".map rect.heat")).to_have_count(9)
    # Nobody waited for a tenth of the prefill, and of what is below a hundredth nothing is written.
    expect(page.locator(".map rect.heat-4")).to_have_count(0)
    assert "0%" not in page.locator(".map text").all_text_contents()
    slow = open_page(workers=3, slow="beta", fragment="#/jobs/j41", busy=False)
    waited = [step["wait_seconds"] for share in slow.scenario.shares(1) for step in share["steps"]]
    whole = max(share["compute_seconds"] + share["wait_seconds"] for share in slow.scenario.shares(1))
    expect(slow.page.locator(".map rect.heat-4")).to_have_count(sum(wait >= 0.095 * whole for wait in waited))
    assert any(wait >= 0.095 * whole for wait in waited)


def test_many_workers_are_condensed(open_page):
    page = open_page(workers=128, fragment="#/jobs/j41", busy=False, ended=1).page
    expect(page.locator(".map rect.heat")).to_have_count(64 * 64)
    expect(page.locator(".map-key")).to_contain_text("Each cell is the mean of 2 workers by 2 steps.")


def test_a_scored_job(open_page):
    page = open_page(workers=3, fragment="#/jobs/j38", busy=False).page
    expect(page.locator(".facts").first).to_contain_text("10.0700")
    expect(page.locator(".answer-text")).to_be_hidden()


def test_the_answer_grows_while_it_is_written(open_page):
    scenario = Scenario(workers=3, phase="DECODE", fraction=0.1)
    page = open_page(scenario, fragment="#/jobs/j42").page
    answer = page.locator(".answer-text")
    expect(answer).to_have_text(scenario.answer[:int(len(scenario.answer) * 0.1)].rstrip())
    page.evaluate("window.firstNode = document.querySelector('.answer-text').firstChild")
    scenario.fraction = 0.5
    expect(answer).to_have_text(scenario.answer[:int(len(scenario.answer) * 0.5)].rstrip())
    # Added to, not replaced: a selection in it lives on.
    assert page.evaluate("window.firstNode === document.querySelector('.answer-text').firstChild")


def test_cancel_asks_first(open_page):
    opened = open_page(workers=3, fragment="#/jobs/j42", phase="PREFILL", fraction=0.3)
    page = opened.page
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert not any(method == "POST" for method, _ in opened.requests())
    page.get_by_role("button", name="Cancel job").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".job-title")).to_contain_text("cancelled")
    assert ("POST", "/api/v1/jobs/j42/cancel") in opened.requests()
    expect(page.get_by_role("button", name="Cancel job")).to_be_hidden()


def test_an_unknown_job(open_page):
    page = open_page(workers=1, fragment="#/jobs/j999", errors=True).page
    expect(page.locator(".problem").first).to_have_text("There is no job j999.")
    page.locator(".back a").click()
    expect(page.locator(".ring .node")).to_have_count(1)


def test_a_waiting_job_says_why(open_page):
    page = open_page(workers=3, fragment="#/jobs/j44", phase="PREFILL", fraction=0.3).page
    expect(page.locator(".job-title")).to_contain_text("queued (number 2 in the queue)")
    expect(page.locator(".job-why")).to_contain_text(re.compile("waits for j42: .* it needs 2.75 GiB"))


def test_from_the_list_to_a_job_and_back(open_page):
    page = open_page(workers=3, phase="PREFILL", fraction=0.3).page
    page.get_by_role("link", name="j41").click()
    expect(page.get_by_role("heading", name="j41")).to_be_visible()
    page.go_back()
    expect(page.locator(".ring .node")).to_have_count(3)


def test_an_ended_job_is_asked_for_once(open_page):
    opened = open_page(workers=3, fragment="#/jobs/j41", busy=False)
    opened.page.wait_for_selector(".log li")
    opened.page.wait_for_timeout(7000)
    asked = [path for _, path in opened.requests() if path.startswith("/api/v1/jobs/j41")]
    assert sorted(asked) == ["/api/v1/jobs/j41", "/api/v1/jobs/j41/log"]


def test_a_running_job_shows_what_its_workers_have_done(open_page):
    scenario = Scenario(workers=3, phase="PREFILL", fraction=0.4)
    page = open_page(scenario, fragment="#/jobs/j42").page
    row = page.locator("table.shares tbody tr").first
    expect(row.locator("td").nth(3)).to_have_text("954 MiB")
    expect(row.locator("td").nth(5)).to_have_text("24.0 s")
    expect(page.locator("table.shares tfoot td").nth(5)).to_have_text("1 min 12 s")
    expect(page.locator(".verdict")).to_be_hidden()


@pytest.mark.parametrize("state, words", [
    ("PREFILL", "Traffic and times are not known yet."),
    ("FAILED", "Traffic and times are not known: the job ended before its workers told them."),
])
def test_what_was_not_told_is_no_zero(open_page, state, words):
    scenario = Scenario(workers=3, busy=False)
    # As the coordinator plans it: who has what, and nothing of what was done.
    shares = [{**share, "ring_bytes_sent": 0, "ring_bytes_received": 0, "compute_seconds": 0, "wait_seconds": 0,
               "steps": []} for share in scenario.shares(0)]
    scenario.extra_jobs = [scenario.job("j50", state, shares=shares, started_us=1, finished_us=state == "FAILED")]
    page = open_page(scenario, fragment="#/jobs/j50").page
    for row in page.locator("table.shares tr").all()[1:]:
        expect(row.locator("td").nth(0)).to_have_text(re.compile(r"\d"))
        expect(row.locator("td").nth(2)).to_have_text(re.compile(r"iB$"))
        for column in range(3, 8):
            expect(row.locator("td").nth(column)).to_have_text("-")
    expect(page.locator(".verdict")).to_have_text(words)


def test_the_queue_moves_on_a_job_of_its_own(open_page):
    """The stream tells the order of the queue alone: no job is sent again for it."""
    scenario = Scenario(workers=3, phase="PREFILL", fraction=0.3, queued=3)
    page = open_page(scenario, fragment="#/jobs/j45").page
    expect(page.locator(".job-title")).to_contain_text("queued (number 3 in the queue)")
    scenario.cancel_waiting("j43")
    expect(page.locator(".job-title")).to_contain_text("queued (number 2 in the queue)", timeout=4000)


def test_a_job_that_ends_gets_its_steps(open_page):
    scenario = Scenario(workers=3, phase="PREFILL", fraction=0.5, slow="beta")
    page = open_page(scenario, fragment="#/jobs/j42").page
    expect(page.locator(".phases")).to_contain_text("16,384 of 32,768 tokens")
    expect(page.locator(".map")).to_be_hidden()
    scenario.phase = "DECODE"
    expect(page.locator(".map rect.heat")).to_have_count(9)
    expect(page.locator(".verdict")).to_contain_text("beta is the slowest")
