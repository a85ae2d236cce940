// The contexts: texts whose keys and values the workers keep, to be asked about.

import { element, keyed, setText } from "./dom.js";
import { ago, bytes, count, shortened } from "./format.js";
import { stateChip } from "./ring.js";
import { list } from "./state.js";

// Shapes of workers' states that say the same.
const MARKS = new Map([
  ["ready", "ready"],
  ["ingesting", "busy"],
  ["stored", "ready"],
  ["gone", "draining"],
]);
const MOST_NAMES = 6;

/** Contexts as rows, last used first. */
export class ContextTable {
  root;
  #body = element("tbody");

  constructor() {
    const columns = [
      ["Context", ""], ["State", ""], ["Tokens", "number"], ["Memory", "number"], ["On", "middling"],
      ["Questions", "number middling"], ["Last used", "middling"],
    ];
    this.root = element(
      "table",
      { class: "contexts", "aria-label": "Contexts" },
      element(
        "thead",
        {},
        element("tr", {}, ...columns.map(([name, kind]) => element("th", { scope: "col", class: kind || null }, name))),
      ),
      this.#body,
    );
  }

  update(state) {
    keyed(
      this.#body,
      state.contexts,
      (context) => `${context.owner}/${context.name}`,
      () => this.#row(),
      (row, context) => this.#fill(row, context, state),
    );
  }

  #row() {
    const cell = (kind) => element("td", { class: kind });
    const parts = {
      name: element("span"),
      note: element("span", { class: "job-reason" }),
      chip: stateChip(),
      tokens: cell("number"),
      memory: cell("number"),
      workers: cell("middling address"),
      questions: cell("number middling"),
      used: cell("submitted middling"),
    };
    const row = element(
      "tr",
      {},
      element("th", { scope: "row" }, parts.name, parts.note),
      element("td", { class: "state" }, parts.chip),
      parts.tokens,
      parts.memory,
      parts.workers,
      parts.questions,
      parts.used,
    );
    row.parts = parts;
    return row;
  }

  #fill(row, context, state) {
    const { parts } = row;
    setText(parts.name, shortened(context.name, 40));
    setText(parts.note, [context.pinned ? "pinned" : "", shortened(context.owner ?? "", 40)].filter(Boolean).join(", "));
    parts.chip.update(MARKS.get(context.state) ?? "refused", context.state);
    setText(parts.tokens, count(context.tokens));
    setText(parts.memory, context.kv_bytes > 0 ? bytes(context.kv_bytes) : "-");
    const names = list(context.shares).map((share) => shortened(share.worker, 24));
    const more = names.length - MOST_NAMES;
    setText(
      parts.workers,
      names.length === 0 ? "-" : names.slice(0, MOST_NAMES).join(", ") + (more > 0 ? ` and ${count(more)} more` : ""),
    );
    setText(parts.questions, count(context.questions));
    setText(parts.used, ago(state.now - context.used_us / 1e6));
  }
}
