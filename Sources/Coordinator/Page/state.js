// What is known of the cluster and its jobs, bounded, and what follows from it. No network, no document.

import { bytes, duration } from "./format.js";

const MOST_JOBS = 200;
const MOST_CONTEXTS = 200;
const MOST_SAMPLES = 32;
const PROGRESS_SECONDS = 5; // live figures older than this are not shown

export const STATES = ["busy", "ready", "draining", "aside", "refused", "lost"];
export const ACTIVE = new Set(["QUEUED", "PREFILL", "DECODE"]);
export const RUNNING = new Set(["PREFILL", "DECODE"]);

/** How far a job's prefill is, and when it will be over. Progress comes in steps: layers. */
export class PrefillClock {
  #samples = []; // [{done, seconds}], only where `done` changed
  #attempt = null;

  /** `done` of `total` tokens at `seconds`. A new attempt, or going back, starts anew. */
  add(done, attempt, seconds) {
    const last = this.#samples.at(-1);
    if (last && (attempt !== this.#attempt || done < last.done)) this.#samples = [];
    this.#attempt = attempt;
    if (last && this.#samples.length > 0 && done === last.done) return;
    this.#samples.push({ done, seconds });
    // The first stays, because the mean since then is the steadiest; the second gives way.
    if (this.#samples.length > MOST_SAMPLES) this.#samples.splice(1, 1);
  }

  /**
   * `{seconds, stalled}`: seconds until `total`, or null when not known yet, and seconds without progress, or 0
   * while that is no longer than usual. `started` is when the job began, or null; it serves until two steps were seen.
   */
  estimate(total, now, started) {
    const last = this.#samples.at(-1);
    if (!last || !(total > 0)) return { seconds: null, stalled: 0 };
    let first = this.#samples[0];
    let steps = this.#samples.length - 1;
    if (steps < 2 && started !== null && last.done > 0 && last.seconds > started) {
      first = { done: 0, seconds: started };
      steps = 1;
    }
    const quiet = Math.max(0, now - last.seconds);
    if (steps < 1 || last.seconds <= first.seconds) return { seconds: null, stalled: quiet > 60 ? quiet : 0 };
    const pace = (last.seconds - first.seconds) / (last.done - first.done);
    const step = (last.seconds - first.seconds) / steps;
    // Between steps it counts down; a step that is overdue slows the mean, so that a hanging job never seems near.
    const overdue = quiet > 1.5 * step;
    const seconds = overdue
      ? ((total - last.done) * (now - first.seconds)) / (last.done - first.done)
      : (total - last.done) * pace - quiet;
    return { seconds: Math.max(0, seconds), stalled: quiet > Math.max(30, 4 * step) ? quiet : 0 };
  }
}

/** The page's knowledge. Only `take...` changes it. */
export class State {
  cluster = null;
  clusterAt = 0;
  throughput = null;
  jobs = new Map(); // id -> job
  hasJobs = false; // whether they were ever told, even if there are none
  nextPage = "";
  contexts = []; // last used first
  #progress = new Map(); // job id -> progress
  #progressAt = 0;
  #rates = null;
  #clocks = new Map(); // job id -> PrefillClock
  #older = 0; // pages of older jobs
  #skew = 0; // coordinator's clock less this one's, seconds

  /** Seconds since 1970 by the coordinator's clock, as far as is known. */
  get now() {
    return Date.now() / 1000 + this.#skew;
  }

  takeCluster(cluster) {
    this.cluster = { ...cluster, members: list(cluster.members) };
    this.clusterAt = performance.now() / 1000;
    if (!cluster.progress && !cluster.rates) return;
    this.#progress = new Map(list(cluster.progress).map((progress) => [progress.job, progress]));
    this.#rates = cluster.rates ?? null;
    this.#progressAt = this.clusterAt;
  }

  takeThroughput(throughput) {
    this.throughput = throughput;
    // The interval's end is at most an interval old: good enough for times, as far as they differ by more.
    const skew = throughput.end_us / 1e6 - Date.now() / 1000;
    if (Number.isFinite(skew)) this.#skew = Math.abs(skew) > 15 ? skew : 0;
  }

  takeContexts(reply) {
    this.contexts = list(reply.contexts).slice(0, MOST_CONTEXTS);
  }

  takeJob(job) {
    if (typeof job?.id !== "string") return;
    const before = this.jobs.get(job.id);
    this.jobs.set(job.id, slim(job));
    if (job.state === "PREFILL") {
      const clock = this.#clocks.get(job.id) ?? new PrefillClock();
      clock.add(computedTokens(job), job.attempt, performance.now() / 1000);
      this.#clocks.set(job.id, clock);
    } else {
      this.#clocks.delete(job.id);
    }
    if (!before) this.#bound();
  }

  /** The ids of all waiting jobs, the next one first. Events tell of places by this alone. */
  takeQueue(ids) {
    const places = new Map(list(ids).map((id, index) => [id, index + 1]));
    for (const [id, job] of this.jobs) {
      if (job.state !== "QUEUED") continue;
      this.jobs.set(id, { ...job, queue_position: places.get(id) ?? 0 });
    }
  }

  /** The newest jobs, from pages in order. What is held, but missing where the pages would have it, is gone. */
  takeJobs(pages) {
    this.hasJobs = true;
    const jobs = pages.flatMap((page) => list(page.jobs));
    const next = pages.at(-1)?.next_page_token ?? "";
    const ids = new Set(jobs.map((job) => job.id));
    const oldest = next && jobs.length > 0 ? jobs.at(-1).submitted_us : 0;
    for (const [id, job] of this.jobs) if (!ids.has(id) && job.submitted_us > oldest) this.#drop(id);
    for (const job of jobs) this.takeJob(job);
    if (this.#older === 0) this.nextPage = this.isFull ? "" : next;
  }

  /** Older jobs, which someone asked for. */
  takeOlderJobs(page) {
    this.#older += 1;
    for (const job of list(page.jobs)) this.takeJob(job);
    this.nextPage = this.isFull ? "" : (page.next_page_token ?? "");
  }

  get isFull() {
    return this.jobs.size >= MOST_JOBS;
  }

  #drop(id) {
    this.jobs.delete(id);
    this.#clocks.delete(id);
  }

  /** The oldest of those that have ended give way first, then those that will wait longest. */
  #bound() {
    if (this.jobs.size <= MOST_JOBS) return;
    const rank = (job) => (RUNNING.has(job.state) ? 2 : job.state === "QUEUED" ? 1 : 0);
    const order = (a, b) => (a.submitted_us - b.submitted_us) * (rank(a) === 1 ? -1 : 1);
    const sorted = [...this.jobs.values()].sort((a, b) => rank(a) - rank(b) || order(a, b));
    for (const job of sorted.slice(0, this.jobs.size - MOST_JOBS)) this.#drop(job.id);
  }

  /** Jobs that run, in order of submission; that wait, next one first; that have ended, newest first. */
  get sorted() {
    const all = [...this.jobs.values()];
    const oldest = (a, b) => a.submitted_us - b.submitted_us;
    return {
      running: all.filter((job) => RUNNING.has(job.state)).sort(oldest),
      waiting: all
        .filter((job) => job.state === "QUEUED")
        .sort((a, b) => (a.queue_position || 1e9) - (b.queue_position || 1e9) || oldest(a, b)),
      ended: all.filter((job) => !ACTIVE.has(job.state)).sort((a, b) => b.submitted_us - a.submitted_us),
    };
  }

  /** `{layer, layers, workers: Map(name -> live figures)}` of a job that runs, or null when not known now. */
  progress(id) {
    const progress = this.#fresh ? this.#progress.get(id) : undefined;
    if (!progress) return null;
    return { ...progress, workers: new Map(list(progress.workers).map((worker) => [worker.name, worker])) };
  }

  /** Tokens per second now: `{prompt, generated}`, from the stream or the last interval. */
  get rates() {
    if (this.#fresh && this.#rates) {
      return { prompt: this.#rates.prompt_tokens_per_second, generated: this.#rates.generated_tokens_per_second };
    }
    return {
      prompt: this.throughput?.prompt_tokens_per_second?.at(-1) ?? NaN,
      generated: this.throughput?.generated_tokens_per_second?.at(-1) ?? NaN,
    };
  }

  get #fresh() {
    return performance.now() / 1000 - this.#progressAt < PROGRESS_SECONDS;
  }

  /** Seconds since the coordinator last heard of a member. */
  heartbeatAge(member) {
    return member.last_heartbeat_seconds + (performance.now() / 1000 - this.clusterAt);
  }

  /**
   * How far a job is: `part` (0 to 1), `text`, and `left`: what is known of the rest, in seconds, with `bound` set
   * when the job may end sooner; `stalled`: seconds without progress, or 0.
   */
  advance(job) {
    if (job.state === "PREFILL") {
      const started = job.started_us > 0 ? performance.now() / 1000 - (this.now - job.started_us / 1e6) : null;
      const { seconds, stalled } = this.#clocks.get(job.id)?.estimate(
        job.prompt_tokens - (job.cached_tokens || 0),
        performance.now() / 1000,
        started,
      ) ?? { seconds: null, stalled: 0 };
      return { part: ratio(job.prefilled_tokens, job.prompt_tokens), left: seconds, bound: false, stalled };
    }
    if (job.state === "DECODE") {
      const most = job.options?.max_tokens || 0;
      const alone = (this.cluster?.running ?? 0) <= 1;
      const pace = alone ? this.rates.generated : NaN;
      const left = most > 0 && pace > 0 ? Math.max(0, most - job.generated_tokens) / pace : null;
      return { part: ratio(job.generated_tokens, most), left, bound: true, stalled: 0 };
    }
    return { part: job.state === "SUCCEEDED" ? 1 : NaN, left: null, bound: false, stalled: 0 };
  }
}

/** Tokens of a job's prompt that were computed so far: the others were in memory. */
export function computedTokens(job) {
  return Math.max(0, job.prefilled_tokens - (job.cached_tokens || 0));
}

/** What a prefill took, from its workers' shares: computing and waiting of the one that took longest. */
export function prefillSeconds(shares) {
  return Math.max(0, ...list(shares).map((share) => (share.compute_seconds || 0) + (share.wait_seconds || 0)));
}

/** What held up a prefill, in the words of `lariat show`; the coordinator judges. `isOver`: the job has ended well. */
export function stragglerText(straggler, isOver) {
  const { worker, sender, only_other: only } = straggler;
  const lost = `${duration(straggler.waited_seconds)} of ${duration(straggler.prefill_seconds)}`;
  if (sender) {
    const pace = bytes(straggler.bytes / Math.max(straggler.wire_seconds, 1e-9));
    return `the link from ${sender} to ${worker} is slow: ${bytes(straggler.bytes)} in `
      + `${duration(straggler.wire_seconds)}, ${pace}/s; ${worker} waited ${lost}, most of it for blocks on their way`;
  }
  return `${worker} is the slowest: ${duration(straggler.compute_seconds)} of computing where `
    + `${only ? `${only} needs` : "the others need"} ${duration(straggler.others_seconds)}; `
    + `${only || "they"} waited for it ${lost}${isOver ? "; its share follows its speed from the next job on" : ""}`;
}

/** The members in ring order: job by job by rank, then those that are free, as the coordinator lists them. */
export function rings(state) {
  const members = state.cluster?.members ?? [];
  const groups = [];
  const taken = new Set();
  for (const job of state.sorted.running) {
    const ranks = new Map(
      [...list(job.shares)].sort((a, b) => a.rank - b.rank).map((share, index) => [share.worker, { share, index }]),
    );
    const own = members
      .filter((member) => !taken.has(member.name) && (member.job ? member.job === job.id : ranks.has(member.name)))
      .sort((a, b) => (ranks.get(a.name)?.index ?? 1e9) - (ranks.get(b.name)?.index ?? 1e9));
    if (own.length === 0) continue;
    for (const member of own) taken.add(member.name);
    groups.push({
      job,
      progress: state.progress(job.id),
      workers: own.map((member) => ({ member, share: ranks.get(member.name)?.share ?? null })),
    });
  }
  const free = members.filter((member) => !taken.has(member.name));
  if (free.length > 0) {
    groups.push({ job: null, progress: null, workers: free.map((member) => ({ member, share: null })) });
  }
  return groups;
}

/** Without what only a job's own view shows, and what may be large: the answer, ring steps, rotary factors. */
function slim(job) {
  const shares = list(job.shares).map((share) => ({ ...share, steps: [] }));
  return { ...job, text: "", shares, profile: null };
}

/** A job's state as people read it. */
export function stateWord(job) {
  return String(job.state || "unknown").toLowerCase();
}

function ratio(part, whole) {
  return whole > 0 ? Math.min(1, part / whole) : NaN;
}

export function list(value) {
  return Array.isArray(value) ? value : [];
}
