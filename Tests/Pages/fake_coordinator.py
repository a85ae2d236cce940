"""A coordinator for the page's tests: serves the page's real files and made-up, moving data of a cluster.

Run it to look at the page while working on it:
    python3 Tests/Pages/fake_coordinator.py --workers 3 --busy --port 8123
"""

import argparse
import contextlib
import json
import math
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

PAGE = Path(__file__).resolve().parents[2] / "Sources/Coordinator/Page"
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8",
         ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}
GREEK = ("alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma tau upsilon "
         "phi chi psi omega").split()
ANSWER = ("The book tells of a widow who leaves her country with her daughter-in-law. In the fields of her husband's "
          "kin she gleans behind the reapers, and the owner of the field tells them to let fall some of the handfuls "
          "on purpose for her. In the end he redeems the land, marries her, and their son becomes the grandfather "
          "of a king. ") * 3
LAYERS = 30


def page_headers():
    """The headers that WebPage.swift asks for: the tests run under the policy that the coordinator serves."""
    source = (PAGE / "WebPage.swift").read_text()
    block = source[source.index("package static let headers"):source.index("private static let html")]
    pairs = re.findall(r'\(\s*"([A-Za-z-]+)",\s*"([^"]*)"\s*\)', block)
    assert any(name == "Content-Security-Policy" for name, _ in pairs)
    return pairs


def micros(seconds):
    return int(seconds * 1e6)


def summary(job):
    """A job as lists and events have it."""
    return {**job, "text": "", "shares": [{**share, "steps": []} for share in job["shares"]]}


class Scenario:
    """A cluster of so many workers, idle or busy. Attributes may be changed while it is served."""

    def __init__(self, workers=3, busy=True, ended=6, queued=2, slow=None, prefill_seconds=90.0, phase=None,
                 fraction=None, lost=(), draining=(), names=None, prompt_tokens=32768, token=None, look_token=None):
        self.started = time.time()
        self.names = names or ([*GREEK] if workers <= len(GREEK) else [f"w{i:03d}.rack{i // 16}" for i in range(workers)])
        self.names = self.names[:workers]
        self.busy = busy and workers > 0
        self.slow = slow
        self.prefill_seconds = prefill_seconds
        self.phase = phase  # "PREFILL" or "DECODE": stays there
        self.fraction = fraction  # of the phase, fixed
        self.lost = set(lost)
        self.draining = set(draining)
        self.prompt_tokens = prompt_tokens
        self.token = token  # None: open
        self.look_token = look_token  # may look, not cancel
        self.forbidden = None  # token that may do nothing
        self.stream = True
        self.cancelled = set()
        self.job_name = "the book of Ruth"
        self.answer = ANSWER
        self.queued = queued if busy else 0
        self.ended = ended
        self.history = 360  # samples of throughput, of ten seconds each
        self.requests = []  # (method, path)
        self.extra_jobs = []
        self.contexts = []

    # ---------------------------------------------------------------- the running job

    def position(self):
        """(state, part of the phase) of the running job."""
        age = time.time() - self.started + 0.37 * self.prefill_seconds
        prefill, decode = self.prefill_seconds, 40.0
        if self.phase:
            return self.phase, self.fraction if self.fraction is not None else (age % prefill) / prefill
        at = age % (prefill + decode)
        return ("PREFILL", at / prefill) if at < prefill else ("DECODE", (at - prefill) / decode)

    def runners(self):
        return [name for name in self.names if name not in self.lost and name not in self.draining]

    def weights(self):
        runners = self.runners()
        raw = [1.0 if name != self.slow else 0.8 for name in runners]
        raw = [weight * (1 + 0.12 * math.sin(3 * index)) for index, weight in enumerate(raw)]
        return [weight / sum(raw) for weight in raw]

    def shares(self, part):
        """What each worker has of the job; with ring steps once prefill is over."""
        runners = self.runners()
        tokens = [int(self.prompt_tokens * weight) for weight in self.weights()]
        if tokens:
            tokens[-1] += self.prompt_tokens - sum(tokens)
        number = len(runners)
        shares = []
        for rank, (name, own) in enumerate(zip(runners, tokens)):
            steps = []
            for step in range(number if part >= 1 else 0):
                compute = 60.0 / number * (1.35 if name == self.slow else 1.0) * (1 - 0.3 * step / number)
                behind = self.slow in runners and (rank - runners.index(self.slow)) % number
                wait = 0.01 * compute if step == 0 else compute * (0.02 + 0.05 * abs(math.sin(rank * 7 + step * 3)))
                if self.slow in runners and name != self.slow and step > 0:
                    wait += compute * (0.42 if behind <= step else 0.12)
                moved = 0 if step == 0 else tokens[(rank - step) % number] * 2 * 3 * 64 * 2 * LAYERS
                steps.append({"step": step, "compute_seconds": compute, "wait_seconds": wait,
                              "wire_seconds": 0 if step == 0 else moved / 1.1e8, "bytes": moved})
            traffic = own * 2 * 3 * 64 * 2 * LAYERS * max(0, number - 1)
            shares.append({
                "rank": rank, "worker": name, "tokens": own, "kv_bytes": own * 2 * 3 * 64 * 2 * LAYERS,
                "ring_bytes_sent": int(traffic * min(1, part)), "ring_bytes_received": int(traffic * min(1, part)),
                "compute_seconds": sum(step["compute_seconds"] for step in steps),
                "wait_seconds": sum(step["wait_seconds"] for step in steps), "steps": steps})
        return shares

    def straggler(self, shares):
        """What the coordinator says of shares with measured times."""
        slow = [share for share in shares if share["worker"] == self.slow and share["compute_seconds"] > 0]
        others = [share for share in shares if share["worker"] != self.slow]
        if not slow or not others:
            return None
        return {"worker": self.slow, "sender": "", "compute_seconds": slow[0]["compute_seconds"],
                "others_seconds": sorted(share["compute_seconds"] for share in others)[(len(others) - 1) // 2],
                "only_other": others[0]["worker"] if len(others) == 1 else "",
                "waited_seconds": sum(share["wait_seconds"] for share in others) / len(others),
                "prefill_seconds": max(share["compute_seconds"] + share["wait_seconds"] for share in shares),
                "bytes": 0, "wire_seconds": 0}

    def job(self, ident, state, **fields):
        now = time.time()
        job = {
            "id": ident,
            "options": {"kind": "GENERATE", "name": "", "max_tokens": 256, "stop": [], "chat": True, "system": "",
                        "sampling": {"temperature": 0, "top_k": 0, "top_p": 0, "min_p": 0, "repetition_penalty": 0,
                                     "repetition_window": 0, "seed": 7},
                        "beyond_window": False, "ignore_end": False, "literal": False, "rope": None, "workers": 0},
            "state": state, "reason": "", "submitted_us": micros(now - 60), "started_us": 0, "finished_us": 0,
            "prompt_tokens": self.prompt_tokens, "prefilled_tokens": 0, "generated_tokens": 0, "text": "",
            "finish": "", "prefill_seconds": 0, "decode_seconds": 0, "first_token_seconds": 0,
            "profile": {"name": "longrope2", "theta": 100000.0, "rotary_dimension": 64, "factors": [],
                        "start_tokens": 0, "attention_factor": 1.0733, "window": 32768, "identity": "5f1e2c", "gap": None},
            "model": "smollm2-135m-instruct-q4_1.gguf", "fingerprint": "9f2c44d1a7b8e6605c1d", "shares": [],
            "mean_nll": 0, "perplexity": 0, "attempt": 1, "isa": "avx512bf16", "precision": "bf16",
            "queue_position": 0, "note": "", "fault": None}
        options = fields.pop("options", {})
        job["options"].update(options)
        job.update(fields)
        job["straggler"] = self.straggler(job["shares"])
        return job

    def running_job(self):
        if not self.busy or "j42" in self.cancelled:
            return None
        state, part = self.position()
        done = math.floor(part * LAYERS) / LAYERS if state == "PREFILL" else 1
        elapsed = part * self.prefill_seconds if state == "PREFILL" else self.prefill_seconds + part * 40
        now = time.time()
        words = int(part * 256) if state == "DECODE" else 0
        return self.job(
            "j42", state, options={"name": self.job_name},
            submitted_us=micros(now - elapsed - 12), started_us=micros(now - elapsed),
            prefilled_tokens=int(self.prompt_tokens * done), generated_tokens=words,
            text=self.answer[:int(len(self.answer) * part)] if state == "DECODE" else "",
            prefill_seconds=self.prefill_seconds if state == "DECODE" else 0,
            first_token_seconds=self.prefill_seconds + 0.1 if state == "DECODE" else 0,
            shares=self.shares(1 if state == "DECODE" else 0))

    def jobs(self):
        """Newest first, with text."""
        now = self.started
        jobs = []
        for index in range(self.queued):
            position = self.queued - index
            ident = f"j{42 + position}"
            if ident in self.cancelled:
                continue
            place = position - sum(1 for at in range(1, position) if f"j{42 + at}" in self.cancelled)
            jobs.append(self.job(
                ident, "QUEUED", queue_position=place, submitted_us=micros(now - 40 + position),
                prompt_tokens=8192 * position, options={"name": f"chapter {position}"},
                reason="waits for j42: 3 workers have 1.20 GiB free for keys and values, it needs 2.75 GiB"))
        running = self.running_job()
        if running:
            jobs.append(running)
        elif "j42" in self.cancelled:
            jobs.append(self.job("j42", "CANCELLED", options={"name": self.job_name}, finish="cancelled",
                                 reason="cancelled by a client", started_us=micros(now), finished_us=micros(now + 5)))
        for index in range(self.ended):
            ident = f"j{41 - index}" if index < 41 else f"old{index}"
            end = now - 400 * (index + 1)
            fields = dict(
                submitted_us=micros(end - 75), started_us=micros(end - 70), finished_us=micros(end),
                prompt_tokens=12000 + 997 * index, prefilled_tokens=12000 + 997 * index, prefill_seconds=58.2,
                decode_seconds=9.81, generated_tokens=214, first_token_seconds=58.3, text=self.answer,
                shares=self.shares(1), finish="end", options={"name": f"psalms, part {index + 1}"})
            state = "SUCCEEDED"
            if index % 6 == 2:
                state = "FAILED"
                fields.update(reason="worker beta was lost: not heard for 5.0 s", finish="error", generated_tokens=0,
                              decode_seconds=0, prefilled_tokens=4000)
            elif index % 6 == 4:
                state = "CANCELLED"
                fields.update(reason="cancelled by a client", finish="cancelled", generated_tokens=31)
            elif index % 6 == 3:
                fields.update(options={"name": "perplexity of Romans", "kind": "SCORE"}, mean_nll=2.31, perplexity=10.07,
                              generated_tokens=0, decode_seconds=0, text="")
            jobs.append(self.job(ident, state, **fields))
        return self.extra_jobs + jobs

    def cancel_waiting(self, ident):
        self.cancelled.add(ident)

    # ---------------------------------------------------------------- the cluster

    def members(self):
        job = self.running_job()
        runners = self.runners()
        held = {share["worker"]: share["kv_bytes"] for share in job["shares"]} if job else {}
        members = []
        for index, name in enumerate(self.names):
            state = "busy" if job else "ready"
            reason = ""
            if name in self.lost:
                state, reason = "lost", "not heard for 12.0 s"
            elif name in self.draining:
                state, reason = "draining", "an operator asked for it"
            members.append({
                "name": name, "address": f"10.0.{index // 200}.{index % 200 + 2}:7411",
                "ring_address": f"10.0.{index // 200}.{index % 200 + 2}:7412", "threads": 16, "memory_bytes": 48 << 30,
                "isa": "avx512bf16", "precision": "bf16", "fingerprint": "9f2c44d1a7b8e6605c1d", "state": state,
                "last_heartbeat_seconds": 12.0 if name in self.lost else 0.4, "model": "smollm2-135m-instruct-q4_1.gguf",
                "version": "0.9.0", "reason": reason,
                "kv_bytes_used": held.get(name, 0) * 8 if job and name in runners else 0,
                "job": "j42" if job and name in runners else ""})
        return members

    def cluster(self):
        job = self.running_job()
        return {"epoch": 7, "model": "smollm2-135m-instruct-q4_1.gguf" if self.names else "",
                "fingerprint": "9f2c44d1a7b8e6605c1d", "members": self.members(), "queued": self.queued,
                "running": 1 if job else 0, "window": 32768, "version": "0.9.0"}

    def live(self):
        """What the stream has beyond `cluster`."""
        job = self.running_job()
        if not job:
            return {"progress": [], "rates": {"prompt_tokens_per_second": 0, "generated_tokens_per_second": 0}}
        state, part = self.position()
        runners = self.runners()
        layer = min(LAYERS, math.floor(part * LAYERS))
        within = part * LAYERS % 1
        workers = []
        for index, name in enumerate(runners):
            ahead = 1 if within > 0.75 and index % 3 == 0 else 0
            busy = 0.93 + 0.05 * math.sin(time.time() / 3 + index) if name != self.slow else 0.99
            if self.slow and name != self.slow:
                busy -= 0.24
            decode = state == "DECODE"
            workers.append({
                "name": name, "layer": LAYERS if decode else min(LAYERS, layer + ahead),
                "step": 0 if decode else int(within * len(runners)), "steps": len(runners), "compute_share": busy,
                "ring_bytes_per_second": 0 if len(runners) < 2 else
                (2.1e5 if decode else 1.18e8 * (1 + 0.08 * math.sin(time.time() / 2 + index))),
                "ring_bytes_sent": int(2.5e9 * part), "ring_bytes_received": int(2.6e9 * part),
                "compute_seconds": 60.0 * part, "wait_seconds": 2.0 * part, "wire_seconds": 21.0 * part})
        wobble = 1 + 0.03 * math.sin(time.time())
        rates = {"prompt_tokens_per_second": 364 * wobble if state == "PREFILL" else 0,
                 "generated_tokens_per_second": 23.4 * wobble if state == "DECODE" else 0}
        return {"progress": [{"job": "j42", "layer": LAYERS if state == "DECODE" else layer, "layers": LAYERS,
                              "workers": workers}], "rates": rates}

    def context(self, name, state="ready", **fields):
        now = time.time()
        shares = [{"rank": rank, "worker": worker, "tokens": 4096, "kv_bytes": 90 << 20}
                  for rank, worker in enumerate(self.names)] if state == "ready" else []
        return {"name": name, "owner": "", "state": state, "tokens": 4096 * len(self.names) + 17,
                "kept_tokens": 4096 * len(shares), "kv_bytes": (90 << 20) * len(shares), "shares": shares,
                "created_us": micros(now - 9000), "used_us": micros(now - 200), "questions": 3, "pinned": False,
                "job": "j7", "profile": None, "reserved_tokens": 4096, "model": "smollm2-135m-instruct-q4_1.gguf",
                "fingerprint": "9f2c44d1a7b8e6605c1d", "chat": True, **fields}

    def throughput(self):
        now = math.floor(time.time() / 10) * 10
        prompt, generated, running, waiting = [], [], [], []
        for index in range(360):
            at = (index + 27) % 47
            on = self.busy and index > 40 and not 180 < index < 200
            prompt.append(round(365 * (1 + 0.03 * math.sin(index)) * (1 + 0.1 * math.sin(index / 30)), 1)
                          if on and at < 30 else 0)
            generated.append(round(23 + 2 * math.sin(index * 2), 2) if on and 30 <= at < 42 else 0)
            running.append(1 if on and at < 42 else 0)
            waiting.append(max(0, round(1.2 - 2 * math.sin(index / 25))) if on else 0)
        strips = {"prompt_tokens_per_second": prompt, "generated_tokens_per_second": generated, "running": running,
                  "waiting": waiting}
        return {"interval_seconds": 10, "end_us": micros(now),
                **{name: values[-self.history:] for name, values in strips.items()}}

    def log(self, ident):
        base = micros(self.started - 60)
        lines = [("info", "coordinator", f"{ident} submitted: {self.prompt_tokens} prompt tokens"),
                 ("info", "coordinator", f"planned for {len(self.runners())} workers")]
        lines += [("info", name, "accepted: memory is there") for name in self.runners()[:8]]
        lines += [("warning", self.runners()[-1], "block of layer 3 came 1.2 s late")] if self.runners() else []
        return {"lines": [{"time_us": base + 250_000 * index, "level": level, "source": source, "text": text}
                          for index, (level, source, text) in enumerate(lines)]}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    @property
    def scenario(self):
        return self.server.scenario

    def reply(self, status, body, content_type="application/json", headers=()):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, status, message):
        self.reply(status, {"error": {"message": message}})

    def allowed(self):
        scenario = self.scenario
        if scenario.token is None:
            return True
        given = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if given == scenario.forbidden and given:
            self.refuse(403, "the role of this token is none")
            return False
        if given not in (scenario.token, scenario.look_token):
            self.refuse(401, "a token is needed")
            return False
        if self.command == "POST" and given != scenario.token:
            self.refuse(403, "the role submit is needed")
            return False
        return True

    def do_POST(self):
        self.scenario.requests.append(("POST", self.path))
        if not self.allowed():
            return
        match = re.fullmatch(r"/api/v1/jobs/([^/]+)/cancel", urlsplit(self.path).path)
        job = match and self.find(unquote(match[1]))
        if not job:
            self.refuse(404, "no such job")
            return
        self.scenario.cancelled.add(job["id"])
        self.reply(200, self.find(job["id"]))

    def find(self, ident):
        return next((job for job in self.scenario.jobs() if job["id"] == ident), None)

    def do_GET(self):
        scenario = self.scenario
        scenario.requests.append(("GET", self.path))
        url = urlsplit(self.path)
        if not url.path.startswith("/api/"):
            self.file(url.path)
            return
        if not self.allowed():
            return
        name = url.path.removeprefix("/api/v1/")
        if name == "cluster":
            self.reply(200, scenario.cluster())
        elif name == "throughput":
            self.reply(200, scenario.throughput())
        elif name == "contexts":
            if scenario.contexts is None:
                self.refuse(404, "no such resource")
            else:
                self.reply(200, {"contexts": scenario.contexts})
        elif name == "events":
            self.events()
        elif name == "jobs":
            query = parse_qs(url.query)
            size = min(100, int(query.get("page_size", ["50"])[0]))
            start = int(query.get("page_token", ["0"])[0])
            jobs = scenario.jobs()
            page = [summary(job) for job in jobs[start:start + size]]
            self.reply(200, {"jobs": page, "next_page_token": str(start + size) if start + size < len(jobs) else ""})
        elif match := re.fullmatch(r"jobs/([^/]+)(/log)?", name):
            job = self.find(unquote(match[1]))
            if not job:
                self.refuse(404, "no such job")
            else:
                self.reply(200, scenario.log(job["id"]) if match[2] else job)
        else:
            self.refuse(404, "no such resource")

    def file(self, path):
        name = "index.html" if path == "/" else path.lstrip("/")
        target = PAGE / name
        if "/" in name or target.suffix not in TYPES or not target.is_file():
            self.reply(404, b"not found", "text/plain", page_headers())
            return
        self.reply(200, target.read_bytes(), TYPES[target.suffix], page_headers())

    def events(self):
        if not self.scenario.stream:
            self.refuse(503, "no streams at the moment")
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        last_job = last_queue = None
        try:
            while not self.server.stopping.is_set() and self.scenario.stream:
                scenario = self.scenario
                self.event("cluster", {**scenario.cluster(), **scenario.live()})
                job = scenario.running_job()
                if job and job != last_job:
                    self.event("job", summary(job))
                last_job = job
                queue = [job["id"] for job in reversed(scenario.jobs()) if job["state"] == "QUEUED"]
                if queue != last_queue:
                    self.event("queue", {"jobs": queue})
                last_queue = queue
                self.server.stopping.wait(1)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def event(self, name, value):
        self.wfile.write(f"event: {name}\ndata: {json.dumps(value)}\n\n".encode())
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.connections = set()

    def process_request(self, request, client_address):
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request):
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address):
        pass  # a page that goes away in the middle of an answer


class FakeCoordinator:
    """Serves a scenario on a port of 127.0.0.1 until it is stopped; may be started again on the same port."""

    def __init__(self, scenario, port=0):
        self.scenario = scenario
        self.port = port
        self.start()

    def start(self):
        self._server = Server(("127.0.0.1", self.port), Handler)
        self._server.scenario = self.scenario
        self._server.stopping = threading.Event()
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def stop(self):
        self._server.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        # Connections that are kept alive would go on being served.
        for connection in list(self._server.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--busy", action="store_true")
    parser.add_argument("--slow", help="name of a worker that the others wait for")
    parser.add_argument("--ended", type=int, default=6)
    parser.add_argument("--token")
    parser.add_argument("--port", type=int, default=8123)
    options = parser.parse_args()
    scenario = Scenario(options.workers, options.busy, options.ended, slow=options.slow, token=options.token)
    scenario.contexts = [scenario.context("ruth"), scenario.context("romans", "gone", pinned=True)]
    coordinator = FakeCoordinator(scenario, options.port)
    print(f"The page is at {coordinator.url}")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        coordinator.stop()


if __name__ == "__main__":
    main()
