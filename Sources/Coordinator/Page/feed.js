// News from the coordinator: one stream of events, and polling beside it, faster when there is no stream.
// Knows nothing of what the news means. Every request and every silence has a deadline.

const TOKEN_KEY = "lariat-token";
const REQUEST_SECONDS = 10;
const SILENT_STREAM_SECONDS = 60; // then it is opened anew
const STALE_SECONDS = 6; // after a failure
const SILENT_SECONDS = 30; // without a failure
const LONGEST_BACKOFF_SECONDS = 30;
const MOST_PAGES = 4;
const LARGEST_EVENT = 8 << 20; // characters
const LARGEST_REPLY = 32 << 20; // bytes

/** What a request came to when it gave no data. `status` is 0 when there was no reply. */
export class FeedError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Splits a stream of text into server-sent events (the EventSource format); `id` and `retry` are not used. */
export class EventParser {
  #line = "";
  #event = "";
  #data = [];
  #size = 0;

  /** Returns the events that `text` completes: `[{event, data}]`. Throws RangeError for one that is too large. */
  feed(text) {
    const events = [];
    const lines = (this.#line + text).split(/\r\n|\n|\r(?!$)/);
    this.#line = lines.pop();
    for (const line of lines) {
      if (line === "") {
        if (this.#data.length > 0) events.push({ event: this.#event || "message", data: this.#data.join("\n") });
        this.#event = "";
        this.#data = [];
        this.#size = 0;
      } else if (line.startsWith("event:")) {
        this.#event = line.slice(6).trim();
      } else if (line.startsWith("data:")) {
        this.#size += line.length;
        this.#data.push(line.slice(line[5] === " " ? 6 : 5));
      }
    }
    if (this.#size + this.#line.length > LARGEST_EVENT) throw new RangeError("an event is too large");
    return events;
  }
}

/** Seconds to wait after so many failures in a row: 1, 2, 4, ... 30, give or take a quarter. */
export function backoff(failures, random = Math.random()) {
  return Math.min(LONGEST_BACKOFF_SECONDS, 2 ** Math.max(0, failures - 1)) * (0.75 + 0.5 * random);
}

const now = () => performance.now() / 1000;

/**
 * `handlers`: `event(name, value)` for the stream's events; `reply(name, pages)` for polled data, with
 * `nextPath(name, pages)` for the path of the page that is wanted after those, or null; `refused(name, error)` when
 * the coordinator has no such data; `status()` when `status()` may have changed.
 */
export class Feed {
  #handlers;
  #polls = new Map(); // name -> {path, streaming, polling, due, busy}
  #stream = { controller: null, open: false, failures: 0, due: 0, heard: 0 };
  #failures = 0;
  #lastGood = 0; // performance clock
  #lastGoodTime = 0; // milliseconds since 1970
  #lastError = null;
  #locked = null; // 401 or 403: asking again would not help
  #timer = null;
  #generation = 0; // replies to questions of an earlier generation are dropped

  constructor(handlers) {
    this.#handlers = handlers;
    document.addEventListener("visibilitychange", () => (document.hidden ? this.pause() : this.start()));
  }

  /** Asks for `path` every `polling` seconds, or every `streaming` seconds while the stream is open. */
  poll(name, path, { streaming, polling }) {
    if (this.#polls.get(name)?.path === path) return;
    this.#polls.set(name, { path, streaming, polling, due: 0, busy: false });
    this.#soon();
  }

  stopPolling(name) {
    this.#polls.delete(name);
  }

  /** The next answer is wanted now. */
  refresh(name) {
    const poll = this.#polls.get(name);
    if (poll) poll.due = 0;
    this.#soon();
  }

  start() {
    if (this.#timer !== null || this.#locked || document.hidden) return;
    this.#lastGood = now();
    this.#failures = 0;
    this.#stream.failures = 0;
    this.#stream.due = 0;
    for (const poll of this.#polls.values()) poll.due = 0;
    this.#timer = setInterval(() => this.#tick(), 500);
    this.#tick();
  }

  pause() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#generation += 1;
    this.#stream.controller?.abort();
    this.#stream.controller = null;
    this.#stream.open = false;
    for (const poll of this.#polls.values()) poll.busy = false;
  }

  get hasToken() {
    return sessionStorage.getItem(TOKEN_KEY) !== null;
  }

  /** Kept until the tab is closed; null forgets it. */
  useToken(token) {
    if (token === null) sessionStorage.removeItem(TOKEN_KEY);
    else sessionStorage.setItem(TOKEN_KEY, token);
    this.#locked = null;
    this.pause();
    this.start();
    this.#handlers.status();
  }

  /**
   * `kind`: "connecting", "live", "polling", "stale", "locked" (a token is needed) or "forbidden".
   * For "stale": `since` (milliseconds since 1970, 0: never), `seconds`, `retry` (seconds) and `error`.
   */
  status() {
    if (this.#locked) {
      return { kind: this.#locked.status === 401 ? "locked" : "forbidden", error: this.#locked.message };
    }
    const silence = now() - this.#lastGood;
    if ((this.#failures > 0 && silence > STALE_SECONDS) || silence > SILENT_SECONDS) {
      const due = Math.min(...Array.from(this.#polls.values(), (poll) => (poll.busy ? now() : poll.due)));
      return {
        kind: "stale",
        since: this.#lastGoodTime,
        seconds: this.#lastGoodTime > 0 ? (Date.now() - this.#lastGoodTime) / 1000 : silence,
        retry: Math.max(0, due - now()),
        error: this.#lastError?.message ?? "no answer",
      };
    }
    if (this.#lastGoodTime === 0) return { kind: "connecting" };
    return { kind: this.#stream.open ? "live" : "polling" };
  }

  /** JSON from `path`. Throws FeedError. */
  async request(path, { method = "GET" } = {}) {
    const controller = new AbortController();
    const deadline = setTimeout(() => controller.abort(), REQUEST_SECONDS * 1000);
    try {
      const reply = await fetch(path, { method, ...this.#options(controller.signal) });
      const length = Number(reply.headers.get("content-length") ?? 0);
      if (length > LARGEST_REPLY) throw new FeedError(reply.status, "the answer is too large for this page");
      const text = await reply.text();
      if (!reply.ok) throw new FeedError(reply.status, reason(reply, text));
      return JSON.parse(text);
    } catch (error) {
      if (error instanceof FeedError) throw error;
      if (controller.signal.aborted) throw new FeedError(0, `no answer within ${REQUEST_SECONDS} s`);
      if (error instanceof SyntaxError) throw new FeedError(0, "the answer is not JSON");
      throw new FeedError(0, "the coordinator cannot be reached");
    } finally {
      clearTimeout(deadline);
    }
  }

  #options(signal) {
    const token = sessionStorage.getItem(TOKEN_KEY);
    return {
      signal,
      cache: "no-store",
      credentials: "omit",
      redirect: "error",
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
    };
  }

  #soon() {
    if (this.#timer !== null) queueMicrotask(() => this.#tick());
  }

  #tick() {
    if (this.#timer === null) return;
    const time = now();
    const stream = this.#stream;
    if (stream.controller && time - stream.heard > SILENT_STREAM_SECONDS) stream.controller.abort();
    if (!stream.controller && time >= stream.due) this.#follow();
    for (const [name, poll] of this.#polls) {
      if (!poll.busy && time >= poll.due) this.#ask(name, poll);
    }
    this.#handlers.status();
  }

  async #ask(name, poll) {
    const generation = this.#generation;
    poll.busy = true;
    try {
      const pages = [];
      for (let path = poll.path; path !== null && pages.length < MOST_PAGES; ) {
        pages.push(await this.request(path));
        if (generation !== this.#generation || this.#polls.get(name) !== poll) return;
        path = this.#handlers.nextPath(name, pages);
      }
      this.#good();
      poll.due = now() + (this.#stream.open ? poll.streaming : poll.polling);
      this.#handlers.reply(name, pages);
    } catch (error) {
      if (!(error instanceof FeedError)) throw error;
      if (generation !== this.#generation || this.#polls.get(name) !== poll) return;
      poll.due = now() + Math.max(poll.polling, backoff(this.#failures + 1));
      this.#bad(error, name);
    } finally {
      poll.busy = false;
    }
  }

  #good() {
    if (this.#failures > 0) {
      // It is back: all questions are asked again at once.
      for (const poll of this.#polls.values()) poll.due = 0;
      this.#stream.due = 0;
    }
    this.#failures = 0;
    this.#lastError = null;
    this.#lastGood = now();
    this.#lastGoodTime = Date.now();
  }

  #bad(error, name) {
    if (error.status === 401 || (error.status === 403 && name !== "stream")) {
      this.#locked = error;
      this.pause();
    } else if (error.status === 0 || error.status >= 500) {
      this.#failures += 1;
      this.#lastError = error;
    } else {
      // The coordinator answers; it is this question that it does not like.
      this.#good();
      if (name !== "stream") this.#handlers.refused(name, error);
    }
    this.#handlers.status();
  }

  /** Reads the event stream until it ends. EventSource would not do: it cannot send a token. */
  async #follow() {
    const generation = this.#generation;
    const stream = this.#stream;
    const controller = new AbortController();
    stream.controller = controller;
    stream.heard = now();
    let error = null;
    try {
      const options = this.#options(controller.signal);
      options.headers.accept = "text/event-stream";
      const reply = await fetch("api/v1/events", options);
      if (!reply.ok) throw new FeedError(reply.status, reason(reply, await reply.text()));
      const parser = new EventParser();
      const decoder = new TextDecoder();
      const reader = reply.body.getReader();
      stream.open = true;
      for (;;) {
        const { done, value } = await reader.read();
        if (done || generation !== this.#generation) break;
        stream.heard = now();
        stream.failures = 0;
        this.#good();
        for (const { event, data } of parser.feed(decoder.decode(value, { stream: true }))) {
          this.#handlers.event(event, JSON.parse(data));
        }
      }
    } catch (caught) {
      error = caught;
    }
    controller.abort();
    if (generation !== this.#generation) return;
    stream.controller = null;
    stream.open = false;
    stream.failures += 1;
    stream.due = now() + backoff(stream.failures);
    // Polling takes over at once.
    for (const poll of this.#polls.values()) poll.due = Math.min(poll.due, now() + poll.polling);
    if (error instanceof FeedError && error.status === 401) this.#bad(error, "stream");
    this.#handlers.status();
  }
}

/** What a refusal says, in words: the body's message where it has one. */
function reason(reply, text) {
  try {
    const body = JSON.parse(text);
    const message = body?.error?.message ?? body?.error ?? body?.message;
    if (typeof message === "string" && message !== "") return message.slice(0, 500);
  } catch {
    // Not JSON: the status has to do.
  }
  return `the coordinator answered ${reply.status} ${reply.statusText}`.trim();
}
