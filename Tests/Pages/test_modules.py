"""The page's modules by themselves, in the browser; its palette; and what the binary is told to serve."""

import re
from html.parser import HTMLParser

import pytest

from fake_coordinator import PAGE, TYPES

ROOT = PAGE.parents[2]


@pytest.fixture
def evaluate(open_page):
    page = open_page(workers=1, busy=False, ended=0).page
    return lambda module, body, argument=None: page.evaluate(
        f"async (argument) => {{ const m = await import('/{module}'); {body} }}", argument)


# ---------------------------------------------------------------- format.js: as Rendering/Quantities.swift

@pytest.mark.parametrize("call, text", [
    ("count(1234567)", "1,234,567"), ("count(999)", "999"), ("count(NaN)", "-"), ("bytes(17)", "17 B"),
    ("bytes(1536)", "1.50 KiB"), ("bytes(512 * 2 ** 20)", "512 MiB"), ("bytes(12.3 * 2 ** 30)", "12.3 GiB"),
    ("bytes(1023.9 * 1024)", "1.00 MiB"), ("bytes(-1)", "-"), ("duration(0.85)", "850 ms"),
    ("duration(5.63)", "5.63 s"), ("duration(123)", "2 min 03 s"), ("duration(3840)", "1 h 04 min"),
    ("duration(86400 * 3 + 7200)", "3 d 02 h"), ("duration(-1)", "-"), ("duration(1e12)", "more than 30 years"),
    ("rate(0)", "-"), ("rate(23.42)", "23.4"), ("rate(1234.5)", "1,235"), ("percent(1 / 3)", "33.3%"),
    ("time(1795470087e6)", "2026-11-23 21:41:27"), ("time(0)", "-"), ("time(1e30)", "-"),
    ("shortened('abcdefghij', 5)", "ab…ij"), ("shortened('abc', 5)", "abc"), ("ago(7300)", "2 h ago"),
])
def test_numbers_read_like_the_command_line(evaluate, call, text):
    assert evaluate("format.js", f"return m.{call};") == text


# ---------------------------------------------------------------- state.js

def estimate(evaluate, samples, now, started=None, total=300):
    return evaluate("state.js", """
        const clock = new m.PrefillClock();
        for (const [done, seconds, attempt] of argument.samples) clock.add(done, attempt ?? 1, seconds);
        return clock.estimate(argument.total, argument.now, argument.started);
    """, {"samples": samples, "now": now, "started": started, "total": total})


def test_time_left_counts_down_between_layers(evaluate):
    samples = [[0, 0], [10, 2], [20, 4], [30, 6]]
    assert estimate(evaluate, samples, 6)["seconds"] == pytest.approx(54)
    assert estimate(evaluate, samples, 7)["seconds"] == pytest.approx(53)


def test_time_left_grows_when_a_layer_is_overdue(evaluate):
    samples = [[0, 0], [10, 2], [20, 4], [30, 6]]
    late = [estimate(evaluate, samples, now)["seconds"] for now in (10, 20, 60)]
    assert late == sorted(late) and late[0] == pytest.approx(90) and late[2] == pytest.approx(540)
    assert estimate(evaluate, samples, 20)["stalled"] == 0
    assert estimate(evaluate, samples, 60)["stalled"] == pytest.approx(54)


def test_time_left_is_not_made_up(evaluate):
    assert estimate(evaluate, [[0, 0]], 5)["seconds"] is None
    assert estimate(evaluate, [], 5)["seconds"] is None
    # A page that is opened in the middle goes by the job's start.
    assert estimate(evaluate, [[100, 50]], 50, started=0)["seconds"] == pytest.approx(100)
    # A second attempt starts anew.
    assert estimate(evaluate, [[0, 0], [100, 10], [200, 20], [0, 30, 2]], 31)["seconds"] is None


def test_time_left_is_that_of_what_is_computed(evaluate):
    left = evaluate("state.js", """
        const state = new m.State();
        const now = Date.now() * 1000;
        state.takeJob({id: "j1", state: "PREFILL", attempt: 1, prompt_tokens: 120064, prefilled_tokens: 119968,
                       cached_tokens: 119936, submitted_us: now - 9e6, started_us: now - 8e6, shares: []});
        return state.advance(state.jobs.get("j1")).left;
    """, {})
    # 32 tokens took 8 seconds, 96 are to come.
    assert left == pytest.approx(24, abs=1)


def test_time_left_needs_little_memory(evaluate):
    assert estimate(evaluate, [[index, index] for index in range(5000)], 4999, total=10_000)["seconds"] \
        == pytest.approx(5001)


BETA = {"worker": "beta", "sender": "", "compute_seconds": 14.5, "others_seconds": 9, "only_other": "",
        "waited_seconds": 4.5, "prefill_seconds": 15, "bytes": 0, "wire_seconds": 0}


@pytest.mark.parametrize("change, over, text", [
    ({}, True, "beta is the slowest: 14.5 s of computing where the others need 9.00 s; they waited for it 4.50 s of "
     "15.0 s; its share follows its speed from the next job on"),
    ({"only_other": "alpha"}, False, "beta is the slowest: 14.5 s of computing where alpha needs 9.00 s; alpha waited "
     "for it 4.50 s of 15.0 s"),
    ({"worker": "gamma", "sender": "beta", "waited_seconds": 6, "bytes": 1 << 20, "wire_seconds": 5.8}, True,
     "the link from beta to gamma is slow: 1.00 MiB in 5.80 s, 177 KiB/s; gamma waited 6.00 s of 15.0 s, most of it "
     "for blocks on their way"),
])
def test_a_straggler_is_told_as_by_the_command_line(evaluate, change, over, text):
    """The same sentences as in Tests/lariatTests/StragglerTests.swift."""
    found = evaluate("state.js", "return m.stragglerText(argument[0], argument[1]);", [BETA | change, over])
    assert found == text


def test_jobs_are_bounded_and_running_ones_kept(evaluate):
    kept = evaluate("state.js", """
        const state = new m.State();
        const job = (number, state) => ({ id: `j${number}`, state, submitted_us: number });
        state.takeJob(job(0, "PREFILL"));
        for (let number = 1; number < 1000; number += 1) state.takeJob(job(number, "SUCCEEDED"));
        for (let number = 1000; number < 1400; number += 1) state.takeJob(job(number, "QUEUED"));
        return [...state.jobs.keys()];
    """)
    assert len(kept) == 200 and "j0" in kept and "j1000" in kept and "j999" not in kept and "j1399" not in kept


def test_a_job_that_is_gone_goes(evaluate):
    kept = evaluate("state.js", """
        const state = new m.State();
        const job = (number) => ({ id: `j${number}`, state: "SUCCEEDED", submitted_us: number });
        for (const number of [1, 5, 6, 7]) state.takeJob(job(number));
        state.takeJobs([{ jobs: [job(7), job(5)], next_page_token: "x" }]);
        return [...state.jobs.keys()].sort();
    """)
    assert kept == ["j1", "j5", "j7"]


# ---------------------------------------------------------------- feed.js

@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_events_in_any_pieces(evaluate, size, end):
    text = end.join(["event: cluster", 'data: {"a":', "data:1}", "", ": still here", "", "data: x", "", "event: job",
                     "id: 4", "data: y", "", ""])
    events = evaluate("feed.js", """
        const parser = new m.EventParser();
        const events = [];
        for (let at = 0; at < argument.text.length; at += argument.size) {
            events.push(...parser.feed(argument.text.slice(at, at + argument.size)));
        }
        return events;
    """, {"text": text, "size": size})
    assert events == [{"event": "cluster", "data": '{"a":\n1}'}, {"event": "message", "data": "x"},
                      {"event": "job", "data": "y"}]


@pytest.mark.parametrize("line", ["data: ", "data: x\n"])
def test_an_endless_event_is_refused(evaluate, line):
    assert evaluate("feed.js", """
        const parser = new m.EventParser();
        const piece = argument.endsWith("\\n") ? argument.repeat(1 << 16) : argument + "x".repeat(1 << 20);
        try {
            for (let round = 0; round < 64; round += 1) parser.feed(round === 0 ? piece : piece.replace(/^data: x*$/, "x".repeat(1 << 20)));
        } catch (error) {
            return error.name;
        }
        return "accepted";
    """, line) == "RangeError"


def test_back_off_is_bounded(evaluate):
    waits = evaluate("feed.js", "return [1, 2, 3, 4, 5, 6, 50, 5000].map((n) => m.backoff(n, 0.5));")
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


# ---------------------------------------------------------------- charts.js

@pytest.mark.parametrize("share, level", [
    (0, 0), (0.004, 0), (0.006, 1), (0.02, 2), (0.044, 2), (0.05, 3), (0.094, 3), (0.096, 4), (1, 4),
])
def test_levels_of_waiting(evaluate, share, level):
    assert evaluate("charts.js", "return m.level(argument);", share) == level


def test_prefill_seconds_are_those_of_the_slowest(evaluate):
    shares = [{"compute_seconds": 8, "wait_seconds": 2}, {"compute_seconds": 11, "wait_seconds": 1}]
    assert evaluate("state.js", "return m.prefillSeconds(argument);", shares) == 12


def test_condensed_cells_are_means(evaluate):
    result = evaluate("charts.js", """
        const cell = (wait) => ({ compute: 1, wait, wire: 0, bytes: 8 });
        const rows = Array.from({ length: 130 }, (_, row) => Array.from({ length: 130 }, () => cell(row)));
        const { cells, size } = m.condensed(rows);
        return [cells.length, cells[0].length, size, cells[0][0].wait, cells[1][0].wait, cells[43][43].number];
    """)
    assert result == [44, 44, 3, 1, 4, 1]


@pytest.mark.parametrize("value, ceiling", [(0, 1), (0.4, 1), (1.2, 2), (380, 500), (500, 500), (7201, 10000)])
def test_axes_end_at_round_numbers(evaluate, value, ceiling):
    assert evaluate("charts.js", "return m.niceCeiling(argument);", value) == ceiling


# ---------------------------------------------------------------- the palette

TEXT_PAIRS = [(ink, ground) for ink in ("ink", "muted", "busy", "ready", "draining", "refused", "lost")
              for ground in ("ground", "card", "raised")] \
    + [("warn-ink", "warn-ground"), ("on-strong", "busy"), ("on-strong", "lost")] \
    + [(f"heat-ink-{level}", f"heat-{level}") for level in range(5)]
SHAPE_PAIRS = [(shape, "card") for shape in ("prompt", "generated", "waiting-jobs")]


def luminance(colour):
    parts = [int(colour[at:at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(open_page, scheme):
    page = open_page(workers=1, busy=False, scheme=scheme).page
    names = sorted({name for pair in TEXT_PAIRS + SHAPE_PAIRS for name in pair})
    colours = page.evaluate("names => Object.fromEntries(names.map(name => [name, getComputedStyle("
                            "document.documentElement).getPropertyValue('--' + name).trim()]))", names)

    def ratio(pair):
        bright, dim = sorted((luminance(colours[name]) for name in pair), reverse=True)
        return (bright + 0.05) / (dim + 0.05)

    assert {pair: round(ratio(pair), 2) for pair in TEXT_PAIRS if ratio(pair) < 4.5} == {}
    assert {pair: round(ratio(pair), 2) for pair in SHAPE_PAIRS if ratio(pair) < 3} == {}


@pytest.mark.parametrize("fragment", ["", "#/jobs/j41"])
def test_everything_that_takes_the_focus_has_a_name(open_page, fragment):
    page = open_page(workers=3, phase="PREFILL", fraction=0.4, fragment=fragment).page
    page.wait_for_selector(".ring .node, .job-view .log li")
    unnamed = page.eval_on_selector_all(
        "a, button, input, [tabindex]:not(main), svg[role], [role=progressbar]",
        "all => all.filter(one => !(one.getAttribute('aria-label') || one.textContent.trim()"
        " || document.querySelector(`label[for='${one.id}']`))).map(one => one.outerHTML.slice(0, 200))")
    assert unnamed == []
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("h1").count() == 1


# ---------------------------------------------------------------- what the binary serves

def test_the_binary_has_every_file():
    files = {path.name for path in PAGE.iterdir() if path.suffix in TYPES}
    swift = (PAGE / "WebPage.swift").read_text()
    served = {path or "index.html": kind for path, kind in re.findall(r'Asset\("([^"]*)", ([^,]+), ', swift)}
    assert set(served) == files
    package = (ROOT / "Package.swift").read_text()
    embedded = package[package.index("let page = ["):]
    assert set(re.findall(r'"([^"]+)"', embedded[:embedded.index("]")])) == files


class Markup(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.inline, self.script = [], [], False

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.links += [names[key] for key in ("src", "href") if key in names and not names[key].startswith("#")]
        self.inline += [name for name in names if name == "style" or name.startswith("on")]
        self.inline += ["script"] if tag == "script" and "src" not in names else []
        self.inline += ["style"] if tag == "style" else []


def test_nothing_is_inline_and_nothing_comes_from_elsewhere():
    markup = Markup()
    markup.feed((PAGE / "index.html").read_text())
    assert markup.inline == []
    assert all((PAGE / link).is_file() for link in markup.links) and len(markup.links) >= 3
    for path in PAGE.iterdir():
        if path.suffix == ".js":
            text = path.read_text()
            assert not re.search(r"\binnerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
            assert all((PAGE / name).is_file() for name in re.findall(r'from "\./([^"]+)"', text))
        if path.suffix in TYPES:
            outside = set(re.findall(r"https?://[^\s\"')]+", path.read_text())) - {"http://www.w3.org/2000/svg"}
            assert outside == set(), path.name
