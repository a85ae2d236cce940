// Start: joins news, knowledge and views; draws when something has changed, once a frame at most.

import { element, setAttribute, setText } from "./dom.js";
import { Feed, FeedError } from "./feed.js";
import { count, shortened, time, wholeSeconds } from "./format.js";
import { JobView } from "./job.js";
import { Overview } from "./overview.js";
import { ACTIVE, State } from "./state.js";

const MOST_EXTRA = 4; // running jobs asked for one by one, at a time
const state = new State();
const main = document.getElementById("main");
const banner = document.getElementById("banner");
const connection = document.getElementById("connection");
const clusterFacts = document.getElementById("cluster-facts");
const forget = document.getElementById("forget");
let view = null; // what is shown
let route = null; // job's id, or "" for the overview
let gate = null; // the token form, while it is shown
let drawing = false;
let hasLog = false; // of the job that is shown

const feed = new Feed({
  event(name, value) {
    if (name === "cluster") state.takeCluster(value);
    if (name === "queue") state.takeQueue(value.jobs);
    if (name === "job") {
      // A job's record has more than its event: its answer so far, and what a phase that is over has brought.
      const known = state.jobs.get(route);
      const hasMore = value.state !== known?.state || value.generated_tokens !== known?.generated_tokens;
      if (value.id === route && hasMore) feed.refresh("job");
      takeJob(value);
    }
    draw();
  },
  nextPath(name, pages) {
    if (name !== "jobs") return null;
    // More pages while jobs that run or wait are missing.
    const next = pages.at(-1)?.next_page_token;
    const active = pages.flatMap((page) => page.jobs ?? []).filter((job) => ACTIVE.has(job.state)).length;
    const wanted = (state.cluster?.running ?? 0) + (state.cluster?.queued ?? 0);
    return next && active < wanted ? jobsPath(next) : null;
  },
  reply(name, pages) {
    const value = pages[0];
    if (name === "cluster") state.takeCluster(value);
    else if (name === "jobs") state.takeJobs(pages);
    else if (name === "throughput") state.takeThroughput(value);
    else if (name === "contexts") state.takeContexts(value);
    else if (name === "job") {
      takeJob(value);
      // What has ended does not change any more.
      if (!ACTIVE.has(value.state)) feed.stopPolling("job");
    } else if (name === "log") takeLog(value.lines);
    if (name === "cluster" || name === "jobs") askForRunning();
    draw();
  },
  refused(name, error) {
    if (name === "job") view?.refused?.(error);
    // A coordinator that knows none will not learn of them.
    if (name === "contexts") feed.stopPolling("contexts");
  },
  status: draw,
});

function jobsPath(page = "") {
  return `api/v1/jobs?page_size=50${page ? `&page_token=${encodeURIComponent(page)}` : ""}`;
}

const jobPath = (id) => `api/v1/jobs/${encodeURIComponent(id)}`;

function takeJob(job) {
  const hasEnded = ACTIVE.has(state.jobs.get(job.id)?.state) && !ACTIVE.has(job.state);
  state.takeJob(job);
  if (job.id !== route || !view?.takeJob) return;
  view.takeJob(job);
  if (hasEnded) feed.refresh("log");
  else settleLog();
}

function takeLog(lines) {
  view?.takeLog?.(lines);
  hasLog = true;
  settleLog();
}

/** Nothing is added to the log of a job that ended a while ago. */
function settleLog() {
  const job = state.jobs.get(route);
  const isOver = job && !ACTIVE.has(job.state) && state.now - job.finished_us / 1e6 > 30;
  if (hasLog && isOver) feed.stopPolling("log");
}

/** A job that runs may be older than all pages of a long queue: workers name it. */
const asked = new Set();
function askForRunning() {
  for (const { job: id } of state.cluster?.members ?? []) {
    if (!id || state.jobs.has(id) || asked.size >= MOST_EXTRA || asked.has(id)) continue;
    asked.add(id);
    feed
      .request(jobPath(id))
      .then((job) => {
        state.takeJob(job);
        draw();
      })
      .catch((error) => {
        if (!(error instanceof FeedError)) throw error;
      })
      .finally(() => asked.delete(id));
  }
}

async function askForOlder() {
  if (!state.nextPage) return;
  try {
    state.takeOlderJobs(await feed.request(jobsPath(state.nextPage)));
  } catch (error) {
    if (!(error instanceof FeedError)) throw error;
    // The button stays; stale data are announced by the banner.
  }
  draw();
}

async function cancel(id) {
  try {
    takeJob(await feed.request(`${jobPath(id)}/cancel`, { method: "POST" }));
  } catch (error) {
    if (!(error instanceof FeedError)) throw error;
    if (error.status === 403) throw new Error("This token may look, but not cancel: it does not have the role submit.");
    if (error.status === 401) throw new Error("The coordinator does not know this token any more.");
    throw new Error(`Not cancelled: ${error.message}.`);
  }
  feed.refresh("job");
  draw();
}

/** `#/jobs/j5` is a job's view, anything else the overview. */
function navigate() {
  const match = /^#\/jobs\/([^/]+)$/.exec(location.hash);
  let id = "";
  try {
    id = match ? decodeURIComponent(match[1]).slice(0, 200) : "";
  } catch {
    // Not a job's address: the overview.
  }
  if (id === route) return;
  const first = route === null;
  route = id;
  hasLog = false;
  feed.stopPolling("job");
  feed.stopPolling("log");
  if (id) {
    view = new JobView(id, { cancel });
    feed.poll("job", jobPath(id), { streaming: 5, polling: 2 });
    feed.poll("log", `${jobPath(id)}/log`, { streaming: 5, polling: 5 });
  } else {
    view = new Overview({ older: askForOlder });
  }
  if (!gate) main.replaceChildren(view.root);
  if (!first) {
    window.scrollTo(0, 0);
    main.focus({ preventScroll: true });
  }
  draw();
}

function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    drawStatus();
    if (gate || !view) return;
    view.update(state);
    setTitle(view.title);
  });
}

function setTitle(text) {
  if (document.title !== text) document.title = text;
}

const WORDS = {
  connecting: "connecting",
  live: "live",
  polling: "polling",
  stale: "no connection",
  locked: "token needed",
  forbidden: "not allowed",
};

function drawStatus() {
  const status = feed.status();
  setText(connection, WORDS[status.kind]);
  setAttribute(connection, "class", `connection ${status.kind}`);
  setAttribute(document.body, "class", status.kind === "stale" ? "stale" : null);
  banner.hidden = status.kind !== "stale";
  if (status.kind === "stale") {
    const age = `from ${time(status.since * 1000)} UTC, ${wholeSeconds(status.seconds)} old`;
    const seen = status.since > 0 ? `What you see is ${age}` : "Nothing was received yet";
    setBanner(`No news from the coordinator: ${status.error}. ${seen}.`, status.retry);
  }
  if ((status.kind === "locked" || status.kind === "forbidden") && gate?.kind !== status.kind) showGate(status);
  if (gate && status.kind !== "locked" && status.kind !== "forbidden") {
    gate = null;
    main.replaceChildren(view.root);
  }
  forget.hidden = !feed.hasToken;
  const { cluster } = state;
  if (!cluster) return;
  const facts = [cluster.model ? shortened(cluster.model, 48) : "no model yet"];
  if (cluster.window > 0) facts.push(`window ${count(cluster.window)}`);
  facts.push(`epoch ${count(cluster.epoch)}`);
  if (cluster.version) facts.push(`version ${shortened(cluster.version, 24)}`);
  setText(clusterFacts, facts.join(" · "));
}

/** The alert is read out when it appears; what ticks in it is not. */
function setBanner(text, retry) {
  if (!banner.firstChild) {
    banner.append(element("span", { "aria-live": "off" }), element("span", { "aria-hidden": "true" }));
  }
  setText(banner.firstChild, text);
  setText(banner.lastChild, retry >= 1 ? ` Next try in ${wholeSeconds(retry)}.` : " Trying again ...");
}

function showGate({ kind, error }) {
  const input = element("input", {
    type: "password",
    name: "token",
    id: "token",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: 4096,
    required: true,
  });
  const words = kind === "forbidden"
    ? `This token may not look at the cluster: ${error}.`
    : feed.hasToken ? "The coordinator does not know this token." : "The coordinator wants to know who you are.";
  const form = element(
    "form",
    { class: "card gate" },
    element("h1", {}, kind === "forbidden" ? "Not allowed" : "Token"),
    element("p", {}, words),
    element("label", { for: "token" }, "Bearer token"),
    input,
    element("p", { class: "muted" }, "It is kept in this tab until you close it, and sent to this coordinator only."),
    element("button", { type: "submit" }, "Continue"),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const token = input.value.trim();
    // A header cannot carry anything else.
    if (!/^[\x21-\x7e]+$/.test(token)) {
      input.setCustomValidity("A token has no blanks and only ASCII characters.");
      input.reportValidity();
      return;
    }
    gate = null;
    main.replaceChildren(view.root);
    feed.useToken(token);
  });
  input.addEventListener("input", () => input.setCustomValidity(""));
  gate = { kind };
  main.replaceChildren(form);
  input.focus();
}

document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
forget.addEventListener("click", () => {
  feed.useToken(null);
  location.reload();
});
window.addEventListener("hashchange", navigate);

feed.poll("cluster", "api/v1/cluster", { streaming: 10, polling: 2 });
feed.poll("jobs", jobsPath(), { streaming: 15, polling: 3 });
feed.poll("contexts", "api/v1/contexts", { streaming: 10, polling: 5 });
feed.poll("throughput", "api/v1/throughput", { streaming: 10, polling: 10 });
navigate();
feed.start();
