"""The overview: ring, throughput, jobs and workers, for clusters of every size, on small and large screens."""

import re

import pytest
from playwright.sync_api import expect

from fake_coordinator import GREEK, Scenario

NO_OVERFLOW = "document.documentElement.scrollWidth <= window.innerWidth"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "busy"])
@pytest.mark.parametrize("workers", [1, 3, 8, 64])
def test_shows_the_ring(open_page, workers, busy, size, scheme):
    page = open_page(workers=workers, busy=busy, size=size, scheme=scheme, phase="PREFILL", fraction=0.41).page
    expect(page.locator(".ring .node")).to_have_count(workers)
    expect(page.locator("table.workers tbody tr")).to_have_count(workers)
    expect(page.locator(".legend")).to_have_text(f"{workers} {'busy' if busy else 'ready'}")
    centre = page.locator(".ring-centre")
    if busy:
        expect(centre).to_contain_text("j42 prefill")
        expect(centre).to_contain_text("40%")
        expect(centre).to_contain_text("layer 12/30" if size == "phone" else "layer 12 of 30")
        expect(page.locator("table.jobs").first).to_contain_text("the book of Ruth")
        expect(page.locator(".flow.moving")).to_have_count(0 if workers == 1 else min(workers, 8))
    else:
        expect(centre).to_contain_text("Idle")
        expect(centre).to_contain_text(f"{workers} of {workers} worker")
        expect(page.locator(".flow.moving")).to_have_count(0)
    assert page.evaluate(NO_OVERFLOW)


@pytest.mark.parametrize("size", ["phone", "desktop"])
@pytest.mark.parametrize("workers", [3, 8, 16, 24])
def test_labels_stay_inside_and_apart(open_page, workers, size):
    page = open_page(workers=workers, size=size, phase="PREFILL", fraction=0.41).page
    page.wait_for_selector(".ring .node")
    labelled = workers <= (8 if size == "phone" else 24)
    boxes = page.eval_on_selector_all(
        ".ring-labels g", "groups => groups.map(g => { const b = g.getBoundingClientRect();"
        " return [b.left, b.top, b.right, b.bottom]; })")
    assert len(boxes) == (workers if labelled else 0)
    stage = page.eval_on_selector(".ring-picture", "s => { const b = s.getBoundingClientRect();"
                                  " return [b.left, b.top, b.right, b.bottom]; }")
    for left, top, right, bottom in boxes:
        assert left >= stage[0] and top >= stage[1] and right <= stage[2] and bottom <= stage[3]
    for index, one in enumerate(boxes):
        for other in boxes[index + 1:]:
            across = min(one[2], other[2]) - max(one[0], other[0])
            down = min(one[3], other[3]) - max(one[1], other[1])
            assert across <= 1 or down <= 1, (one, other)


def test_shares_are_arc_lengths_and_numbers(open_page):
    opened = open_page(workers=3, phase="PREFILL", fraction=0.41)
    page = opened.page
    page.wait_for_selector(".ring .node")
    lengths = page.eval_on_selector_all(".band", "bands => bands.map(band => band.getTotalLength())")
    tokens = [share["tokens"] for share in opened.scenario.shares(0)]
    for length, own in zip(lengths, tokens):
        assert length / sum(lengths) == pytest.approx(own / sum(tokens), abs=0.01)
    for own in tokens:
        expect(page.locator(".ring-labels")).to_contain_text(f"{own / sum(tokens) * 100:.1f}% of tokens")
    expect(page.locator(".ring-rates text")).to_have_count(3)
    expect(page.locator(".ring-rates text").first).to_have_text(re.compile(r"^1\d\d MiB/s$"))


@pytest.mark.parametrize("workers, rates", [(6, 6), (8, 0), (12, 0)])
def test_rates_stand_apart(open_page, workers, rates):
    """Beside the ring they are for few workers only; each worker's own figures have its rate always."""
    page = open_page(workers=workers, phase="PREFILL", fraction=0.41).page
    page.wait_for_selector(".ring .node")
    labels = page.locator(".ring-rates text")
    expect(labels).to_have_count(rates)
    boxes = [label.bounding_box() for label in labels.all()]
    for index, one in enumerate(boxes):
        for other in boxes[index + 1:]:
            apart = (one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
                     or one["y"] + one["height"] <= other["y"] or other["y"] + other["height"] <= one["y"])
            assert apart, (one, other)
    page.locator(".ring .node").first.focus()
    expect(page.locator(".tip")).to_contain_text("MiB/s")


def test_256_workers(open_page):
    page = open_page(workers=256, phase="PREFILL", fraction=0.41, lost=["w017.rack1"]).page
    expect(page.locator(".ring .node")).to_have_count(256)
    expect(page.locator(".legend")).to_contain_text("255 busy")
    expect(page.locator(".attention")).to_have_text("w017.rack1 is lost: not heard for 12.0 s")
    assert page.evaluate(NO_OVERFLOW)


def test_troubled_workers_are_named_not_only_coloured(open_page):
    page = open_page(workers=8, lost=["gamma"], draining=["theta"], phase="PREFILL", fraction=0.4).page
    expect(page.locator(".legend li")).to_have_text(["6 busy", "1 draining", "1 lost"])
    expect(page.locator(".attention li")).to_have_text(
        ["gamma is lost: not heard for 12.0 s", "theta is draining: an operator asked for it"])
    shapes = page.eval_on_selector_all(".legend path", "paths => paths.map(path => path.getAttribute('d'))")
    assert len(set(shapes)) == 3


def test_keyboard_goes_round_the_ring(open_page):
    page = open_page(workers=3, phase="PREFILL", fraction=0.4).page
    page.wait_for_selector(".ring .node")
    expect(page.locator(".ring .node[tabindex='0']")).to_have_count(1)
    page.locator(".ring .node[tabindex='0']").focus()
    tip = page.locator(".tip")
    expect(tip).to_contain_text("alpha")
    expect(tip).to_contain_text("12 of 30")
    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("beta")
    page.keyboard.press("End")
    expect(tip).to_contain_text("gamma")
    page.keyboard.press("ArrowRight")
    expect(tip).to_contain_text("alpha")
    page.wait_for_timeout(1200)  # an update comes in between
    expect(tip).to_contain_text("alpha")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith("alpha, busy, job j42")
    page.keyboard.press("Escape")
    expect(tip).to_be_hidden()


def test_tip_follows_the_pointer_and_stays_in_the_window(open_page):
    page = open_page(workers=8, size="phone", phase="PREFILL", fraction=0.4).page
    for index in range(8):
        page.locator(".node").nth(index).dispatch_event("pointerenter")
        expect(page.locator(".tip")).to_contain_text(GREEK[index])
        box = page.locator(".tip").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 360
    page.locator(".node").nth(7).dispatch_event("pointerleave")
    expect(page.locator(".tip")).to_be_hidden()


def test_motion_stops_where_it_is_not_wanted(open_page):
    style = "getComputedStyle(document.querySelector('.flow.moving')).animationName"
    moving = open_page(workers=3, phase="PREFILL", fraction=0.4).page
    moving.wait_for_selector(".flow.moving")
    assert moving.evaluate(style) == "flow"
    calm = open_page(workers=3, phase="PREFILL", fraction=0.4, motion="reduce").page
    calm.wait_for_selector(".flow.moving")
    assert calm.evaluate(style) == "none"


def test_no_workers_and_no_jobs(open_page):
    page = open_page(workers=0, busy=False, ended=0).page
    expect(page.locator(".ring-centre")).to_contain_text("No workers")
    expect(page.locator(".ring-card .empty")).to_contain_text("lariat worker")
    expect(page.get_by_text("No jobs yet.")).to_be_visible()
    expect(page.locator("table.workers")).to_be_hidden()


def test_jobs_in_their_groups(open_page):
    page = open_page(workers=3, phase="PREFILL", fraction=0.4, ended=25).page
    running = page.locator("table.jobs[aria-label='Running jobs'] tbody tr")
    expect(running).to_have_count(1)
    expect(running).to_contain_text("13,107 / 32,768")
    expect(running).to_contain_text(re.compile(r"40% · about \d+ s left"))
    waiting = page.locator("table.jobs[aria-label='Waiting jobs'] tbody tr")
    expect(waiting.locator(".job-id")).to_have_text(["j43", "j44"])
    expect(waiting.first).to_contain_text("queued #1")
    expect(waiting.first).to_contain_text("3 workers have 1.20 GiB free for keys and values, it needs 2.75 GiB")
    ended = page.locator("table.jobs[aria-label='Ended jobs'] tbody tr")
    expect(ended).to_have_count(20)
    expect(ended.nth(2)).to_contain_text("worker beta was lost")
    page.get_by_role("button", name="Show 5 more").click()
    expect(ended).to_have_count(25)


def test_at_most_200_jobs_are_held(open_page):
    opened = open_page(workers=3, phase="PREFILL", fraction=0.4, ended=400)
    page = opened.page
    rows = page.locator("table.jobs tbody tr")
    page.get_by_role("button", name="Show 27 more").click()
    for held in (50, 100, 150):
        expect(rows).to_have_count(held)
        page.get_by_role("button", name="Show older jobs").click()
    expect(rows).to_have_count(200)
    expect(page.get_by_role("button", name="Show")).to_be_hidden()
    expect(page.locator("table.jobs[aria-label='Running jobs']")).to_contain_text("j42")


def test_a_running_job_behind_a_long_queue_is_found(open_page):
    page = open_page(workers=3, phase="PREFILL", fraction=0.4, queued=260, ended=0).page
    expect(page.locator("table.jobs[aria-label='Running jobs'] .job-id")).to_have_text("j42")
    expect(page.get_by_text(re.compile(r"Waiting \(\d+ more are not shown\)"))).to_be_visible()


def test_several_jobs_at_once(open_page):
    scenario = Scenario(workers=6, phase="PREFILL", fraction=0.4)
    members = scenario.members

    def split():
        result = members()
        for member in result[3:]:
            member["job"] = "j43"
        return result

    scenario.members = split
    scenario.queued = 0
    second = scenario.job("j43", "DECODE", prefilled_tokens=32768, generated_tokens=64, options={"name": "second"})
    scenario.extra_jobs = [second]
    page = open_page(scenario).page
    expect(page.locator(".ring-centre")).to_contain_text("2 jobs")
    expect(page.locator(".ring-centre")).to_contain_text("j43 decode 25%")
    # Each ring of three is closed by a link of its own.
    expect(page.locator(".lane")).to_have_count(6)


def test_throughput_is_read_off(open_page):
    opened = open_page(workers=3, phase="DECODE", fraction=0.4)
    page = opened.page
    expect(page.locator(".tile").nth(1)).to_contain_text(re.compile(r"2\d\.\d"))
    plot = page.locator(".plot")
    expect(plot).to_have_attribute("aria-label", re.compile(r"Prompt tokens/s: mean \d+"))
    plot.focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    data = opened.scenario.throughput()
    value = data["prompt_tokens_per_second"][270]
    expect(page.locator(".strip strong").first).to_have_text("-" if value == 0 else f"{value:.0f}")
    expect(page.locator(".chart .readout")).to_have_text(re.compile(r"10 s up to \d\d:\d\d:\d\d UTC"))


@pytest.mark.parametrize("samples,ticks", [
    (360, ["-60 min", "-45 min", "-30 min", "-15 min", "now"]), (4, ["-40 s", "-30 s", "-20 s", "-10 s", "now"])])
def test_the_axis_of_a_young_history_is_in_seconds(open_page, samples, ticks):
    scenario = Scenario(workers=3)
    scenario.history = samples
    expect(open_page(scenario).page.locator(".chart .axis span")).to_have_text(ticks)


def test_untrusted_text_stays_text(open_page):
    attack = "<img src=x onerror=\"window.hacked=1\"><script>window.hacked=1</script>"
    scenario = Scenario(workers=3, phase="DECODE", fraction=0.9, names=[attack, "javascript:alert(1)", "\u202ereversed"],
                        draining=["javascript:alert(1)"])
    scenario.job_name = attack
    scenario.answer = attack * 5
    scenario.extra_jobs = [scenario.job("../../evil", "FAILED", reason=attack, options={"name": "constructor"}),
                           scenario.job("__proto__", "QUEUED", reason=attack, options={"name": "__proto__"})]
    opened = open_page(scenario)
    page = opened.page
    expect(page.get_by_text("<script>").first).to_be_attached()
    expect(page.locator("table.jobs").first).to_contain_text("onerror")
    expect(page.locator(".job-id", has_text="../../evil")).to_have_attribute("href", "#/jobs/..%2F..%2Fevil")
    page.goto(opened.coordinator.url + "#/jobs/j42")
    expect(page.locator(".answer-text")).to_contain_text("<img src=x")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script, main iframe").count() == 0
    assert page.evaluate("document.querySelectorAll('[style*=expression],[onerror],[onclick]').length") == 0
