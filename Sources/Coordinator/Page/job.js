// The view of one job: what it is, how far it is, who did what, its log and its answer.

import { HeatMap } from "./charts.js";
import { element, keyed, progressBar, setAttribute, setFacts, setText } from "./dom.js";
import { bytes, clock, count, duration, percent, rate, shortened, time, wholeSeconds } from "./format.js";
import { jobMark } from "./overview.js";
import { stateChip } from "./ring.js";
import { ACTIVE, computedTokens, list, stateWord, stragglerText } from "./state.js";

const MOST_LINES = 500;
const LONGEST_ANSWER = 500_000; // characters
const ANSWERLESS = new Set(["SCORE", "INGEST"]); // kinds

const seconds = (value) => (value > 0 ? duration(value) : "-");

function card(title, ...children) {
  return element("section", { class: "card", hidden: true }, element("h2", {}, title), ...children);
}

export class JobView {
  root;
  #id;
  #job = null;
  #cancel;
  #name = element("span", { class: "job-title-name" });
  #chip = stateChip();
  #reason = element("p", { class: "job-why" });
  #problem = element("p", { class: "problem", role: "alert", hidden: true });
  #bars = {};
  #facts = element("dl", { class: "facts" });
  #shareBody = element("tbody");
  #shareFoot = element("tfoot");
  #straggler = element("p", { class: "verdict" });
  #map = new HeatMap();
  #log = element("ol", { class: "log" });
  #answer = element("pre", { class: "answer-text", tabindex: 0, "aria-label": "Answer" });
  #answerNote = element("p", { class: "muted" });
  #shown = "";
  #cards;
  #button;
  #dialog;
  #loading = element("p", { class: "empty" }, "Loading ...");
  #body;

  /** `cancel(id)` cancels the job: a promise that throws an Error with the reason. */
  constructor(id, { cancel }) {
    this.#id = id;
    this.#cancel = cancel;
    this.#button = element("button", { type: "button", class: "danger", hidden: true }, "Cancel job");
    this.#button.addEventListener("click", () => this.#dialog.showModal());
    this.#dialog = this.#makeDialog();
    const progress = element("div", { class: "phases" });
    for (const phase of ["prefill", "decode"]) {
      const bar = progressBar(`${phase} of ${id}`);
      const text = element("span");
      this.#bars[phase] = { bar, text, row: element("div", { class: "phase" }, element("span", {}, phase), bar, text) };
      progress.append(this.#bars[phase].row);
    }
    const shares = element(
      "table",
      { class: "shares", "aria-label": "Shares of the workers" },
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          ...["Worker", "Tokens", "Share", "KV", "Sent", "Received", "Compute", "Wait", "Wire"].map((name, index) =>
            element("th", { scope: "col", class: index > 0 ? "number" : null }, name),
          ),
        ),
      ),
      this.#shareBody,
      this.#shareFoot,
    );
    const scroll = (label, child) =>
      element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, child);
    this.#cards = {
      progress: card("Progress", progress),
      answer: card("Answer", this.#answer, this.#answerNote),
      facts: card("Facts", this.#facts),
      shares: card("Shares", scroll("Shares", shares), this.#straggler),
      steps: card("Ring steps", this.#map.root),
      log: card("Log", scroll("Log", this.#log)),
    };
    this.#body = element(
      "div",
      { hidden: true },
      element(
        "div",
        { class: "job-columns" },
        element("div", {}, this.#cards.progress, this.#cards.answer, this.#cards.shares, this.#cards.steps),
        element("div", {}, this.#cards.facts, this.#cards.log),
      ),
    );
    this.root = element(
      "div",
      { class: "job-view" },
      element("p", { class: "back" }, element("a", { href: "#/" }, "Overview")),
      element(
        "div",
        { class: "job-title" },
        element("h1", {}, shortened(id, 40)),
        this.#name,
        this.#chip,
        this.#button,
      ),
      this.#reason,
      this.#problem,
      this.#loading,
      this.#body,
      this.#dialog,
    );
  }

  get title() {
    const state = this.#job ? ` ${stateWord(this.#job)}` : "";
    return `${shortened(this.#id, 20)}${state} · Lariat`;
  }

  #makeDialog() {
    const problem = element("p", { class: "problem", role: "alert", hidden: true });
    const yes = element("button", { type: "button", class: "danger" }, "Cancel the job");
    const no = element("button", { type: "button", class: "quiet" }, "Keep it");
    const dialog = element(
      "dialog",
      { "aria-label": "Cancel the job?" },
      element("h2", {}, `Cancel ${shortened(this.#id, 40)}?`),
      element("p", {}, "What it has produced so far is kept. It cannot be resumed."),
      problem,
      element("p", { class: "choices" }, no, yes),
    );
    no.addEventListener("click", () => dialog.close());
    yes.addEventListener("click", async () => {
      yes.disabled = true;
      problem.hidden = true;
      try {
        await this.#cancel(this.#id);
        dialog.close();
      } catch (error) {
        setText(problem, error.message);
        problem.hidden = false;
      } finally {
        yes.disabled = false;
      }
    });
    return dialog;
  }

  /** The coordinator has no such job, or does not give it: says why. */
  refused(error) {
    this.#loading.hidden = true;
    this.#problem.hidden = false;
    setText(this.#problem, error.status === 404 ? `There is no job ${shortened(this.#id, 40)}.` : error.message);
  }

  takeLog(lines) {
    const last = list(lines).slice(-MOST_LINES);
    this.#cards.log.hidden = last.length === 0;
    const box = this.#log.parentNode;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
    const seen = new Map();
    const items = last.map((line) => {
      const key = `${line.time_us} ${line.source} ${line.text}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
      return { ...line, key: `${seen.get(key)} ${key}` };
    });
    keyed(
      this.#log,
      items,
      (line) => line.key,
      (line) =>
        element(
          "li",
          { class: /^(warn|error|crit)/i.test(line.level) ? "log-bad" : null },
          element("time", { title: `${time(line.time_us)} UTC` }, clock(line.time_us)),
          element("span", { class: "log-level" }, line.level),
          element("span", { class: "log-source" }, shortened(line.source ?? "", 30)),
          element("span", { class: "log-text" }, line.text),
        ),
      () => {},
    );
    if (atEnd) box.scrollTop = box.scrollHeight;
  }

  /** A job's record with its text. */
  takeJob(job) {
    // Records in lists and events come without text and steps: what is there already is newer than nothing.
    const known = this.#job?.attempt === job.attempt ? this.#job : null;
    const steps = new Map(list(known?.shares).map((share) => [share.worker, list(share.steps)]));
    const shares = list(job.shares).map((share) =>
      list(share.steps).length > 0 ? share : { ...share, steps: steps.get(share.worker) ?? [] });
    this.#job = { ...job, shares, text: job.text || known?.text || "" };
    this.#loading.hidden = true;
    this.#problem.hidden = true;
    this.#body.hidden = false;
  }

  update(state) {
    const job = this.#job;
    if (!job) return;
    setText(this.#name, shortened(job.options?.name ?? "", 120));
    const finish = job.state === "SUCCEEDED" && job.finish ? ` (${job.finish})` : "";
    const position = job.state === "QUEUED" ? (state.jobs.get(job.id)?.queue_position ?? job.queue_position) : 0;
    const place = position > 0 ? ` (number ${position} in the queue)` : "";
    this.#chip.update(jobMark(job), stateWord(job) + place + finish);
    setText(this.#reason, shortened(job.reason ?? "", 1000));
    this.#reason.hidden = !job.reason;
    this.#button.hidden = !ACTIVE.has(job.state);
    if (!ACTIVE.has(job.state) && this.#dialog.open) this.#dialog.close();
    this.#updateProgress(job, state);
    this.#updateFacts(job);
    this.#updateShares(job, state.progress(job.id));
    this.#cards.steps.hidden = !HeatMap.hasSteps(job);
    if (!this.#cards.steps.hidden) this.#map.update(job);
    this.#updateAnswer(job);
  }

  #updateProgress(job, state) {
    this.#cards.progress.hidden = job.state === "QUEUED" && job.prefilled_tokens === 0;
    const { left, stalled } = state.advance(job);
    const prefill = this.#bars.prefill;
    prefill.bar.show(job.prefilled_tokens / Math.max(1, job.prompt_tokens));
    const words = [`${count(job.prefilled_tokens)} of ${count(job.prompt_tokens)} tokens`];
    if (job.prefill_seconds > 0) {
      words.push(duration(job.prefill_seconds), `${rate(computedTokens(job) / job.prefill_seconds)} tokens/s`);
    }
    if (job.cached_tokens > 0) words.push(`${count(job.cached_tokens)} of them were in memory`);
    if (job.state === "PREFILL") {
      const live = state.progress(job.id);
      if (live?.layers > 0) words.push(`layer ${live.layer} of ${live.layers}`);
      if (stalled > 0) words.push(`no progress for ${wholeSeconds(stalled)}`);
      else words.push(left === null ? "time left not known yet" : `about ${wholeSeconds(left)} left`);
    }
    setText(prefill.text, words.join(" · "));
    const decode = this.#bars.decode;
    decode.row.hidden = ANSWERLESS.has(job.options?.kind);
    const most = job.options?.max_tokens ?? 0;
    decode.bar.show(most > 0 ? job.generated_tokens / most : 0, "decode");
    const said = [`${count(job.generated_tokens)} of at most ${count(most)} tokens`];
    if (job.decode_seconds > 0) {
      said.push(duration(job.decode_seconds));
      if (job.generated_tokens > 1) said.push(`${rate((job.generated_tokens - 1) / job.decode_seconds)} tokens/s`);
    }
    if (job.state === "DECODE" && left !== null) said.push(`at most ${wholeSeconds(left)} left`);
    setText(decode.text, said.join(" · "));
  }

  #updateFacts(job) {
    this.#cards.facts.hidden = false;
    const { options, profile } = job;
    const scored = options?.kind === "SCORE" && job.perplexity > 0;
    const sampling = options?.sampling;
    const date = (value) => (value > 0 ? `${time(value)} UTC` : "");
    setFacts(this.#facts, [
      ["kind", options?.kind ? options.kind.toLowerCase() : ""],
      ["context", options?.context ? shortened(options.context, 60) : ""],
      ["submitted", date(job.submitted_us)],
      ["started", date(job.started_us)],
      ["finished", date(job.finished_us)],
      ["waited", job.started_us >= job.submitted_us ? duration((job.started_us - job.submitted_us) / 1e6) : ""],
      ["first token after", job.first_token_seconds > 0 ? duration(job.first_token_seconds) : ""],
      ["attempt", job.attempt > 1 ? count(job.attempt) : ""],
      ["model", job.model ? shortened(job.model, 60) : ""],
      ["fingerprint", job.fingerprint ? job.fingerprint.slice(0, 16) : ""],
      ["positions", profile ? positions(profile) : ""],
      ["note", job.note ? shortened(job.note, 500) : ""],
      ["compute", [job.precision, job.isa].filter(Boolean).join(", ")],
      ["sampling", sampling ? samplingText(sampling) : ""],
      ["mean NLL", scored ? job.mean_nll.toFixed(5) : ""],
      ["perplexity", scored ? job.perplexity.toFixed(4) : ""],
    ]);
  }

  /** `progress`: live figures of a job that runs, or null. A job's record has them only from the end of prefill on. */
  #updateShares(job, progress) {
    const recorded = [...list(job.shares)].sort((a, b) => a.rank - b.rank);
    const shares = recorded.map((share) => shareFigures(job, share, progress?.workers.get(share.worker)));
    this.#cards.shares.hidden = shares.length === 0;
    const known = shares.filter((share) => share.known);
    const sum = (key, from = known) => from.reduce((total, share) => total + (share[key] || 0), 0);
    const tokens = sum("tokens", shares);
    const slow = job.straggler ?? null;
    const row = () => {
      const cells = Array.from({ length: 8 }, () => element("td", { class: "number" }));
      return element("tr", {}, element("th", { scope: "row" }), ...cells);
    };
    const fill = (node, name, share) => {
      const texts = [
        name, count(share.tokens), tokens > 0 ? percent(share.tokens / tokens) : "-", bytes(share.kv_bytes),
        share.known ? bytes(share.ring_bytes_sent) : "-", share.known ? bytes(share.ring_bytes_received) : "-",
        ...["compute_seconds", "wait_seconds", "wire_seconds"].map((key) => (share.known ? seconds(share[key]) : "-")),
      ];
      for (const [index, text] of texts.entries()) setText(node.children[index], text);
    };
    keyed(
      this.#shareBody,
      shares,
      (share) => share.worker,
      row,
      (node, share) => {
        fill(node, shortened(share.worker, 24), share);
        setAttribute(node, "class", slow?.worker === share.worker ? "slow" : null);
      },
    );
    const total = {
      tokens,
      known: known.length > 0,
      kv_bytes: sum("kv_bytes", shares),
      ring_bytes_sent: sum("ring_bytes_sent"),
      ring_bytes_received: sum("ring_bytes_received"),
      compute_seconds: sum("compute_seconds"),
      wait_seconds: sum("wait_seconds"),
      wire_seconds: sum("wire_seconds"),
    };
    keyed(this.#shareFoot, shares.length > 1 ? [total] : [], () => "", row, (node, one) => fill(node, "total", one));
    const measured = recorded.some((share) => share.compute_seconds > 0) && recorded.length > 1;
    const missing = known.length < shares.length;
    this.#straggler.hidden = !measured && !missing;
    setAttribute(this.#straggler, "class", slow ? "verdict slow" : "verdict");
    if (missing) {
      const ended = "Traffic and times are not known: the job ended before its workers told them.";
      setText(this.#straggler, ACTIVE.has(job.state) ? "Traffic and times are not known yet." : ended);
      return;
    }
    setText(
      this.#straggler,
      slow
        ? stragglerText(slow, job.state === "SUCCEEDED")
        : "Even: no worker kept the others waiting.",
    );
  }

  #updateAnswer(job) {
    const generates = !ANSWERLESS.has(job.options?.kind);
    this.#cards.answer.hidden = !generates || (job.text === "" && job.state !== "DECODE");
    if (job.text !== this.#shown) {
      const box = this.#answer;
      const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
      const cut = job.text.slice(0, LONGEST_ANSWER);
      const before = box.firstChild;
      // Only what is new is added, so that a selection stays.
      if (before && this.#shown && cut.startsWith(this.#shown)) before.appendData(cut.slice(this.#shown.length));
      else box.textContent = cut;
      this.#shown = cut;
      if (atEnd) box.scrollTop = box.scrollHeight;
    }
    const rest = job.text.length - LONGEST_ANSWER;
    setText(
      this.#answerNote,
      rest > 0
        ? `${count(rest)} characters more: lariat attach ${this.#id}`
        : job.state === "DECODE" ? "Being written ..." : "",
    );
  }
}

/**
 * A share with what its worker has sent and computed so far, and `known`: whether that was told at all. Live figures
 * serve until the record has its own.
 */
function shareFigures(job, share, live) {
  const wire = list(share.steps).reduce((total, step) => total + (step.wire_seconds || 0), 0);
  const figures = { ...share, wire_seconds: wire };
  const told = share.compute_seconds > 0 || share.ring_bytes_sent > 0 || share.ring_bytes_received > 0;
  if (told || job.state === "SUCCEEDED") return { ...figures, known: true };
  if (!Number.isFinite(live?.compute_seconds)) return { ...figures, known: false };
  const { ring_bytes_sent, ring_bytes_received, compute_seconds, wait_seconds, wire_seconds } = live;
  return { ...figures, known: true, ring_bytes_sent, ring_bytes_received, compute_seconds, wait_seconds, wire_seconds };
}

function positions(profile) {
  const parts = [profile.name, `window ${count(profile.window)}`];
  if (Number.isFinite(profile.attention_factor)) parts.push(`attention factor ${profile.attention_factor.toFixed(4)}`);
  if (profile.start_tokens > 0) parts.push(`first ${count(profile.start_tokens)} positions unscaled`);
  return parts.join(", ");
}

function samplingText(sampling) {
  if (!(sampling.temperature > 0)) return "greedy";
  const parts = [`temperature ${sampling.temperature}`];
  if (sampling.top_k > 0) parts.push(`top-k ${sampling.top_k}`);
  if (sampling.top_p > 0) parts.push(`top-p ${sampling.top_p}`);
  if (sampling.min_p > 0) parts.push(`min-p ${sampling.min_p}`);
  return parts.join(", ");
}
