// The first view: the ring, throughput, jobs and workers.

import { ThroughputChart } from "./charts.js";
import { ContextTable } from "./contexts.js";
import { element, keyed, progressBar, setAttribute, setText } from "./dom.js";
import { ago, bytes, count, duration, percent, rate, shortened, wholeSeconds } from "./format.js";
import { Ring, known, ringStep, stateChip } from "./ring.js";
import { RUNNING, computedTokens, rings, stateWord } from "./state.js";

const JOB_MARKS = new Map([
  ["QUEUED", "draining"],
  ["PREFILL", "busy"],
  ["DECODE", "busy"],
  ["SUCCEEDED", "ready"],
  ["FAILED", "lost"],
]);
const FIRST_ENDED = 20; // of the jobs that have ended, before someone asks for more

function card(title, ...children) {
  return element("section", { class: "card" }, element("h2", {}, title), ...children);
}

function cell(name, text = "") {
  return element("td", { class: name }, text);
}

/** A number with its name. */
function tile(name) {
  const value = element("strong");
  const root = element("div", { class: "tile" }, element("span", {}, name), value);
  return { root, show: (text) => setText(value, text) };
}

/** Jobs as rows that link to their pages. */
class JobTable {
  root;
  #body;

  constructor(label) {
    this.#body = element("tbody");
    this.root = element(
      "table",
      { class: "jobs", "aria-label": label },
      element(
        "colgroup",
        {},
        ...["job", "state", "progress", "prompt", "answer", "submitted"].map((name) =>
          element("col", { class: `column-${name}` }),
        ),
      ),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          ...["Job", "State", "Progress", "Prompt", "Answer", "Submitted"].map((name, index) =>
            element("th", { scope: "col", class: index === 3 || index === 4 ? "number" : null }, name),
          ),
        ),
      ),
      this.#body,
    );
  }

  update(jobs, state) {
    keyed(this.#body, jobs, (job) => job.id, (job) => this.#row(job), (row, job) => this.#fill(row, job, state));
  }

  #row(job) {
    const parts = {
      link: element("a", { class: "job-id", href: `#/jobs/${encodeURIComponent(job.id)}` }, shortened(job.id, 24)),
      name: element("span", { class: "job-name" }),
      chip: stateChip(),
      bar: progressBar(`progress of ${job.id}`),
      progress: element("span", { class: "job-progress" }),
      reason: element("span", { class: "job-reason" }),
      prompt: cell("number prompt"),
      answer: cell("number answer"),
      submitted: cell("submitted"),
    };
    const row = element(
      "tr",
      {},
      element("td", { class: "job" }, parts.link, parts.name),
      element("td", { class: "state" }, parts.chip),
      element("td", { class: "progress" }, parts.bar, parts.progress, parts.reason),
      parts.prompt,
      parts.answer,
      parts.submitted,
    );
    row.parts = parts;
    return row;
  }

  #fill(row, job, state) {
    const { parts } = row;
    const { part, left, bound, stalled } = state.advance(job);
    const running = RUNNING.has(job.state);
    setText(parts.name, shortened(job.options?.name ?? "", 80));
    const place = job.state === "QUEUED" && job.queue_position > 0 ? ` #${job.queue_position}` : "";
    parts.chip.update(jobMark(job), stateWord(job) + place);
    parts.bar.hidden = !running || Number.isNaN(part);
    parts.bar.show(part, job.state === "DECODE" ? "decode" : "");
    const words = [];
    if (running && !Number.isNaN(part)) words.push(percent(part, 0));
    if (stalled > 0) words.push(`no progress for ${wholeSeconds(stalled)}`);
    else if (left !== null) words.push(`${bound ? "at most" : "about"} ${wholeSeconds(left)} left`);
    else if (job.state === "PREFILL") words.push("time left not known yet");
    if (!running && job.state !== "QUEUED") words.push(...ended(job));
    setText(parts.progress, words.join(" · "));
    const told = job.state === "SUCCEEDED" ? "" : job.reason || "";
    setText(parts.reason, shortened(told || (job.state === "QUEUED" ? "waits for its turn" : ""), 200));
    const prefilling = job.state === "PREFILL" ? `${count(job.prefilled_tokens)} / ` : "";
    setText(parts.prompt, prefilling + count(job.prompt_tokens));
    setText(parts.answer, job.generated_tokens > 0 || job.state === "DECODE" ? count(job.generated_tokens) : "-");
    setText(parts.submitted, ago(state.now - job.submitted_us / 1e6));
  }
}

/** What can be said of a job that is over: its time and its speed. */
function ended(job) {
  const words = [];
  if (job.started_us > 0 && job.finished_us >= job.started_us) {
    words.push(`took ${duration((job.finished_us - job.started_us) / 1e6)}`);
  }
  if (job.prefill_seconds > 0) words.push(`prefill ${rate(computedTokens(job) / job.prefill_seconds)} tokens/s`);
  if (job.generated_tokens > 1 && job.decode_seconds > 0) {
    words.push(`decode ${rate((job.generated_tokens - 1) / job.decode_seconds)} tokens/s`);
  }
  return words;
}

/** The shape that goes with a job's state. */
export function jobMark(job) {
  return JOB_MARKS.get(job.state) ?? "refused";
}

/** All workers in ring order, as numbers. */
class WorkerTable {
  root;
  #body;

  constructor() {
    this.#body = element("tbody");
    const columns = [
      ["Worker", ""], ["State", ""], ["Share", "number"], ["Layer", "number middling"],
      ["Computing", "number middling"], ["To the next", "number middling"], ["KV", "memory"],
      ["Threads", "number few"], ["Compute", "few"], ["Heard", "number few"], ["Address", "few"],
    ];
    this.root = element(
      "table",
      { class: "workers", "aria-label": "Workers in ring order" },
      element(
        "thead",
        {},
        element("tr", {}, ...columns.map(([name, kind]) => element("th", { scope: "col", class: kind || null }, name))),
      ),
      this.#body,
    );
  }

  update(state) {
    const rows = rings(state).flatMap((group) =>
      group.workers.map((worker) => ({ ...worker, job: group.job, progress: group.progress })),
    );
    keyed(this.#body, rows, (row) => row.member.name, () => this.#row(), (row, item) => this.#fill(row, item, state));
  }

  #row() {
    const parts = {
      name: element("th", { scope: "row" }),
      chip: stateChip(),
      reason: element("span", { class: "job-reason" }),
      share: cell("number share"),
      layer: cell("number middling"),
      compute: cell("number middling"),
      link: cell("number middling"),
      bar: progressBar("KV memory in use"),
      memory: element("span", { class: "memory-text" }),
      threads: cell("number few"),
      isa: cell("few"),
      heard: cell("number few"),
      address: cell("few address"),
    };
    const row = element(
      "tr",
      {},
      parts.name,
      element("td", { class: "state" }, parts.chip, parts.reason),
      parts.share,
      parts.layer,
      parts.compute,
      parts.link,
      element("td", { class: "memory" }, parts.bar, parts.memory),
      parts.threads,
      parts.isa,
      parts.heard,
      parts.address,
    );
    row.parts = parts;
    return row;
  }

  #fill(row, { member, job, share, progress }, state) {
    const { parts } = row;
    const live = progress?.workers.get(member.name);
    const tokens = (job?.shares ?? []).reduce((sum, one) => sum + one.tokens, 0);
    setText(parts.name, shortened(member.name, 24));
    parts.chip.update(member.state);
    setText(parts.reason, member.reason ? shortened(member.reason, 160) : job ? `job ${shortened(job.id, 20)}` : "");
    setText(parts.share, share && tokens > 0 ? percent(share.tokens / tokens) : "-");
    const layers = live && progress.layers > 0 && job.state === "PREFILL";
    const step = layers && live.steps > 1 ? `, step ${ringStep(live)}` : "";
    setText(parts.layer, layers ? `${live.layer} of ${progress.layers}${step}` : "-");
    setText(parts.compute, live ? percent(live.compute_share, 0) : "-");
    setText(parts.link, live?.ring_bytes_per_second > 0 ? `${bytes(live.ring_bytes_per_second)}/s` : "-");
    const used = member.kv_bytes_used;
    parts.bar.hidden = !Number.isFinite(used);
    parts.bar.show(used / Math.max(1, member.memory_bytes), "memory");
    setText(
      parts.memory,
      Number.isFinite(used) ? `${bytes(used)} of ${bytes(member.memory_bytes)}` : bytes(member.memory_bytes),
    );
    setText(parts.threads, count(member.threads));
    setText(parts.isa, [member.precision, member.isa].filter(Boolean).join(", "));
    setText(parts.heard, wholeSeconds(state.heartbeatAge(member)));
    setText(parts.address, member.address);
  }
}

export class Overview {
  root;
  title = "Lariat";
  #ring = new Ring();
  #chart = new ThroughputChart();
  #workers = new WorkerTable();
  #contexts = new ContextTable();
  #tables = {
    running: new JobTable("Running jobs"),
    waiting: new JobTable("Waiting jobs"),
    ended: new JobTable("Ended jobs"),
  };
  #sections = {};
  #tiles = {
    prompt: tile("prompt tokens/s"),
    generated: tile("generated tokens/s"),
    running: tile("jobs running"),
    waiting: tile("jobs waiting"),
  };
  #noWorkers;
  #noJobs;
  #attention;
  #attentionTitle;
  #workerCard;
  #contextCard;
  #more;
  #all = false;

  /** `older()` asks for more ended jobs. */
  constructor({ older }) {
    this.#attentionTitle = element("h3", {}, "Needs attention");
    this.#attention = element("ul", { class: "attention", hidden: true });
    this.#noWorkers = element(
      "div",
      { class: "empty", hidden: true },
      element("p", {}, "No worker has registered. Start one on each host:"),
      element(
        "pre",
        {},
        element("code", {}, "lariat worker --name alpha --coordinator HOST:PORT --model model.gguf ..."),
      ),
      element("p", {}, "or a whole cluster on one machine with ", element("code", {}, "lariat up"), "."),
    );
    this.#noJobs = element(
      "div",
      { class: "empty", hidden: true },
      element("p", {}, "No jobs yet. Submit one with ", element("code", {}, 'lariat submit "Once upon a time"'), "."),
    );
    this.#more = element("button", { type: "button", class: "quiet", hidden: true });
    this.#more.addEventListener("click", () => {
      if (this.#all) older();
      this.#all = true;
    });
    const sections = Object.entries({ running: "Running", waiting: "Waiting", ended: "Ended" }).map(([key, name]) => {
      const title = element("h3", {}, name);
      const section = element("div", { class: "job-section", hidden: true }, title, this.#tables[key].root);
      this.#sections[key] = { section, title, name };
      return section;
    });
    this.#workerCard = card(
      "Workers",
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Workers" }, this.#workers.root),
    );
    this.#contextCard = card(
      "Contexts",
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Contexts" }, this.#contexts.root),
    );
    this.root = element(
      "div",
      { class: "overview" },
      element("h1", { class: "unseen" }, "Overview"),
      element(
        "div",
        { class: "upper" },
        element(
          "section",
          { class: "card ring-card" },
          element("h2", {}, "Ring"),
          this.#ring.root,
          this.#noWorkers,
          this.#attention,
        ),
        element(
          "section",
          { class: "card throughput-card" },
          element("h2", {}, "Throughput"),
          element("div", { class: "tiles" }, ...Object.values(this.#tiles).map(({ root }) => root)),
          this.#chart.root,
        ),
      ),
      card("Jobs", this.#noJobs, ...sections, this.#more),
      this.#contextCard,
      this.#workerCard,
    );
  }

  update(state) {
    const { cluster } = state;
    const { prompt, generated } = state.rates;
    this.#tiles.prompt.show(prompt > 0 ? rate(prompt) : "0");
    this.#tiles.generated.show(generated > 0 ? rate(generated) : "0");
    this.#tiles.running.show(count(cluster?.running ?? 0));
    this.#tiles.waiting.show(count(cluster?.queued ?? 0));
    this.#chart.update(state.throughput);
    this.#ring.update(state);
    this.#noWorkers.hidden = !cluster || cluster.members.length > 0;
    this.#workerCard.hidden = !cluster || cluster.members.length === 0;
    this.#workers.update(state);
    this.#contextCard.hidden = state.contexts.length === 0;
    this.#contexts.update(state);
    this.#updateAttention(cluster?.members ?? []);
    this.#updateJobs(state);
  }

  #updateAttention(members) {
    const troubled = members.filter(({ state }) => state !== "ready" && state !== "busy");
    const lines = troubled.slice(0, 5).map((member) => ({
      key: `=${member.name}`,
      state: member.state,
      text:
        `${shortened(member.name, 40)} is ${member.state}` +
        (member.reason ? `: ${shortened(member.reason, 160)}` : ""),
    }));
    if (troubled.length > 5) {
      lines.push({ key: "more", state: "", text: `and ${count(troubled.length - 5)} more, see the table` });
    }
    this.#attention.hidden = lines.length === 0;
    keyed(
      this.#attention,
      lines,
      (line) => line.key,
      () => element("li"),
      (item, { state, text }) => {
        setAttribute(item, "class", state ? `is-${known(state)}` : null);
        setText(item, text);
      },
    );
  }

  #updateJobs(state) {
    const sorted = state.sorted;
    const shown = this.#all ? sorted.ended : sorted.ended.slice(0, FIRST_ENDED);
    for (const [key, jobs] of Object.entries({ ...sorted, ended: shown })) {
      const { section, title, name } = this.#sections[key];
      section.hidden = jobs.length === 0;
      this.#tables[key].update(jobs, state);
      const unseen = key === "waiting" ? Math.max(0, (state.cluster?.queued ?? 0) - jobs.length) : 0;
      setText(title, unseen > 0 ? `${name} (${count(unseen)} more are not shown)` : name);
    }
    this.#noJobs.hidden = state.jobs.size > 0 || !state.hasJobs;
    const hidden = sorted.ended.length - shown.length;
    this.#more.hidden = hidden === 0 && !state.nextPage;
    setText(this.#more, hidden > 0 ? `Show ${count(hidden)} more` : "Show older jobs");
  }
}
