// Two pictures of numbers: the last hour's throughput as strips, and ring steps as a map of who waited when.

import { element, keyed, setAttribute, setAttributes, setText, svg } from "./dom.js";
import { bytes, clock, count, duration, percent, rate, shortened, wholeSeconds } from "./format.js";
import { list, prefillSeconds } from "./state.js";

/** The smallest of 1, 2, 5, 10, 20 ... that is at least `value`. */
export function niceCeiling(value) {
  if (!(value > 0)) return 1;
  const decade = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((factor) => factor * decade >= value * 0.999999);
  return Math.max(1, step * decade);
}

/** An area under `values`, in a box `width` by `height` with `most` at its top; what is no number counts as 0. */
function area(values, width, height, most) {
  const step = width / Math.max(1, values.length);
  let path = `M0 ${height}`;
  let before = null;
  for (const [index, value] of values.entries()) {
    const y = (height - height * Math.min(1, Math.max(0, value || 0) / most)).toFixed(1);
    if (y !== before) path += `${before === null ? "" : `H${(index * step).toFixed(1)}`}V${y}`;
    before = y;
  }
  return `${path}H${width}V${height}Z`;
}

const STRIPS = [
  { key: "prompt_tokens_per_second", name: "Prompt tokens/s", kind: "prompt", height: 124, words: rate },
  { key: "generated_tokens_per_second", name: "Generated tokens/s", kind: "generated", height: 124, words: rate },
  { key: "running", name: "Jobs running", kind: "jobs", height: 44, words: count, also: "waiting" },
];

/** Throughput of the last hour: three strips with one axis of time. Hover, or use the arrow keys, to read values. */
export class ThroughputChart {
  root;
  #strips;
  #axis;
  #readout;
  #width = 0;
  #data = null;
  #cursor = null; // index of an interval

  constructor() {
    this.#strips = STRIPS.map((strip) => {
      const parts = {
        ...strip,
        most: element("span", { class: "strip-most" }),
        waiting: svg("path", { class: "area waiting" }),
        area: svg("path", { class: `area ${strip.kind}` }),
        line: svg("line", { class: "cursor", y1: 0, y2: strip.height }),
        value: element("strong"),
      };
      parts.picture = svg(
        "svg",
        { height: strip.height, "aria-hidden": "true", class: "strip-picture" },
        svg("line", { class: "grid", x1: 0, x2: "100%", y1: 0.5, y2: 0.5 }),
        strip.also ? parts.waiting : null,
        parts.area,
        svg("line", { class: "base", x1: 0, x2: "100%", y1: strip.height - 0.5, y2: strip.height - 0.5 }),
        parts.line,
      );
      parts.root = element(
        "div",
        { class: "strip" },
        element(
          "p",
          { class: "strip-head" },
          element("span", { class: `key ${strip.kind}`, "aria-hidden": "true" }),
          element("span", {}, strip.name),
          strip.also ? element("span", { class: "key waiting", "aria-hidden": "true" }) : null,
          strip.also ? element("span", {}, strip.also) : null,
          parts.value,
        ),
        element("div", { class: "strip-body" }, parts.picture, parts.most),
      );
      return parts;
    });
    this.#axis = element("p", { class: "axis", "aria-hidden": "true" });
    this.#readout = element("p", { class: "readout muted" });
    const plot = element(
      "div",
      { class: "plot", tabindex: 0, role: "img", "aria-label": "Throughput of the last hour" },
      ...this.#strips.map((strip) => strip.root),
      this.#axis,
    );
    this.root = element("div", { class: "chart" }, plot, this.#readout);
    plot.addEventListener("pointermove", (event) => {
      const box = this.#strips[0].picture.getBoundingClientRect();
      this.#move(Math.floor(((event.clientX - box.left) / Math.max(1, box.width)) * this.#length));
    });
    plot.addEventListener("pointerleave", () => this.#move(null));
    plot.addEventListener("blur", () => this.#move(null));
    plot.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
      if (!by) return;
      event.preventDefault();
      this.#move((this.#cursor ?? this.#length) + by);
    });
    new ResizeObserver(([entry]) => {
      this.#width = Math.round(entry.contentRect.width);
      this.#draw();
    }).observe(this.#strips[0].picture.parentNode);
    this.#plot = plot;
  }

  #plot;

  get #length() {
    return list(this.#data?.[STRIPS[0].key]).length;
  }

  update(throughput) {
    if (throughput === this.#data) return;
    this.#data = throughput;
    this.#draw();
  }

  #move(index) {
    this.#cursor = index === null || this.#length === 0 ? null : Math.min(this.#length - 1, Math.max(0, index));
    this.#drawCursor();
  }

  #draw() {
    const data = this.#data;
    if (!data || this.#width === 0) return;
    const span = this.#length * data.interval_seconds;
    for (const strip of this.#strips) {
      const values = list(data[strip.key]).slice(-2000);
      const other = strip.also ? list(data[strip.also]).slice(-2000) : [];
      const highest = [...values, ...other].reduce((most, value) => Math.max(most, value || 0), 0);
      const most = niceCeiling(highest);
      setAttribute(strip.picture, "width", this.#width);
      setAttribute(strip.area, "d", area(values, this.#width, strip.height, most));
      if (strip.also) setAttribute(strip.waiting, "d", area(other, this.#width, strip.height, most));
      setText(strip.most, highest > 0 ? count(most) : "");
    }
    // No two ticks may read the same: a history that is young is told in seconds.
    const [unit, seconds] = span < 240 ? ["s", 1] : ["min", 60];
    const ticks = [1, 0.75, 0.5, 0.25].map((part) => `-${Math.round((part * span) / seconds)} ${unit}`).concat("now");
    keyed(this.#axis, ticks, (tick) => tick, (tick) => element("span", {}, tick), () => {});
    const words = STRIPS.slice(0, 2).map((strip) => {
      const values = list(data[strip.key]);
      const mean = values.reduce((sum, value) => sum + (value || 0), 0) / Math.max(1, values.length);
      return `${strip.name}: mean ${rate(mean)}, most ${rate(Math.max(0, ...values))}`;
    });
    setAttribute(this.#plot, "aria-label", `Throughput of the last ${wholeSeconds(span)}. ${words.join(". ")}.`);
    this.#drawCursor();
  }

  #drawCursor() {
    const index = this.#cursor;
    const at = index ?? this.#length - 1;
    for (const strip of this.#strips) {
      const x = ((at + 0.5) * this.#width) / Math.max(1, this.#length);
      setAttributes(strip.line, { x1: x, x2: x, class: index === null ? "cursor off" : "cursor" });
      const value = list(this.#data?.[strip.key])[at];
      const other = strip.also ? `, ${count(list(this.#data?.[strip.also])[at])}` : "";
      setText(strip.value, index === null ? "" : strip.words(value) + other);
    }
    const end = (this.#data?.end_us ?? 0) - (this.#length - 1 - at) * (this.#data?.interval_seconds ?? 0) * 1e6;
    setText(
      this.#readout,
      index === null
        ? `Means of ${wholeSeconds(this.#data?.interval_seconds)}; point at the chart to read it.`
        : `${wholeSeconds(this.#data?.interval_seconds)} up to ${clock(end)} UTC`,
    );
  }
}

const MOST_CELLS = 64; // in a row or a column; more are taken together

/** Means of a `rows` by `columns` table of cells, at most MOST_CELLS a side. Cells: `{compute, wait, wire, bytes}`. */
export function condensed(table) {
  const rows = table.length;
  const columns = Math.max(0, ...table.map((row) => row.length));
  const size = Math.max(1, Math.ceil(Math.max(rows, columns) / MOST_CELLS));
  const cells = [];
  for (let top = 0; top < rows; top += size) {
    const line = [];
    for (let left = 0; left < columns; left += size) {
      const sum = { compute: 0, wait: 0, wire: 0, bytes: 0, number: 0 };
      for (const row of table.slice(top, top + size)) {
        for (const cell of row.slice(left, left + size)) {
          if (!cell) continue;
          for (const key of ["compute", "wait", "wire", "bytes"]) sum[key] += cell[key] || 0;
          sum.number += 1;
        }
      }
      const number = Math.max(1, sum.number);
      line.push({
        compute: sum.compute / number,
        wait: sum.wait / number,
        wire: sum.wire / number,
        bytes: sum.bytes / number,
        number: sum.number,
        row: top,
        column: left,
      });
    }
    cells.push(line);
  }
  return { cells, size };
}

/**
 * Ring steps of a job, worker by worker: a cell is the darker, the more of the prefill its worker waited in that step.
 * That is how the verdict below the shares measures waiting too, so that a dark cell is one that cost the job time.
 */
export class HeatMap {
  root;
  #picture;
  #names;
  #cells;
  #cursor;
  #readout;
  #note;
  #table = null;
  #shares = [];
  #signature = "";
  #width = 0;
  #size = { cell: 0, left: 0, rowHeight: 0 };
  #at = null; // [row, column]
  #whole = 0; // seconds of the prefill

  constructor() {
    this.#names = svg("g", { class: "map-names" });
    this.#cells = svg("g");
    this.#cursor = svg("rect", { class: "map-cursor", hidden: true });
    this.#picture = svg(
      "svg",
      { class: "map", tabindex: 0, role: "img" },
      this.#names,
      this.#cells,
      this.#cursor,
    );
    this.#readout = element("p", { class: "readout", "aria-live": "polite" });
    this.#note = element("span");
    const key = element(
      "p",
      { class: "map-key muted" },
      "share of the prefill that a worker waited in a step: below 1%",
      svg(
        "svg",
        { width: 100, height: 10, "aria-hidden": "true" },
        ...[0, 1, 2, 3, 4].map((level) =>
          svg("rect", { x: level * 20, y: 0, width: 19, height: 10, class: `heat heat-${level}` }),
        ),
      ),
      "10% and more. ",
      this.#note,
    );
    const stage = element("div", { class: "map-stage" }, this.#picture);
    this.root = element("div", {}, stage, key, this.#readout);
    this.#picture.addEventListener("pointermove", (event) => this.#point(event));
    this.#picture.addEventListener("pointerleave", () => this.#move(null));
    this.#picture.addEventListener("blur", () => this.#move(null));
    this.#picture.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
      if (!by || !this.#table) return;
      event.preventDefault();
      const [row, column] = this.#at ?? [0, -1];
      this.#move([row + by[0], column + by[1]]);
    });
    new ResizeObserver(([entry]) => {
      this.#width = Math.round(entry.contentRect.width);
      this.#draw();
    }).observe(stage);
  }

  /** Whether there is anything to draw. */
  static hasSteps(job) {
    return list(job.shares).filter((share) => list(share.steps).length > 1).length > 1;
  }

  update(job) {
    this.#shares = list(job.shares).filter((share) => list(share.steps).length > 1).sort((a, b) => a.rank - b.rank);
    const last = this.#shares.at(-1);
    const signature = `${job.id} ${job.attempt} ${this.#shares.length} ${last?.compute_seconds} ${last?.wait_seconds}`;
    if (signature === this.#signature) return;
    this.#signature = signature;
    this.#whole = prefillSeconds(this.#shares);
    const rows = this.#shares.slice(0, 1024).map((share) => {
      const row = [];
      for (const step of share.steps.slice(0, 1024)) {
        if (!(step.step >= 0 && step.step < 1024)) continue;
        row[step.step] = {
          compute: step.compute_seconds,
          wait: step.wait_seconds,
          wire: step.wire_seconds,
          bytes: step.bytes,
        };
      }
      return row;
    });
    this.#table = condensed(rows);
    this.#at = null;
    this.#draw();
  }

  #draw() {
    if (!this.#table || this.#width === 0) return;
    const { cells, size } = this.#table;
    const columns = cells[0]?.length ?? 0;
    const narrow = this.#width < 460;
    const longest = Math.max(...this.#shares.map((share) => shortened(share.worker, narrow ? 10 : 16).length));
    const left = size > 1 || cells.length > 24 ? 34 : 14 + 8 * longest;
    const cell = Math.min(112, (this.#width - left) / Math.max(1, columns));
    const rowHeight = Math.max(4, Math.min(26, cells.length > 24 ? 480 / cells.length : 26));
    this.#size = { cell, left, rowHeight };
    const height = 18 + rowHeight * cells.length;
    setAttributes(this.#picture, { width: this.#width, height });
    const gap = cell > 8 && rowHeight > 8 ? 2 : cell > 4 && rowHeight > 4 ? 0.5 : 0;
    const drawn = [];
    const names = [];
    for (const [row, line] of cells.entries()) {
      if (rowHeight >= 11 || row % 8 === 0) {
        const name = left !== 34 ? shortened(this.#shares[row].worker, narrow ? 10 : 16) : String(row * size);
        names.push(svg("text", { x: left - 8, y: 18 + (row + 0.5) * rowHeight + 4, "text-anchor": "end" }, name));
      }
      for (const [column, value] of line.entries()) {
        if (value.number === 0) continue;
        const share = this.#waited(value);
        const x = left + column * cell;
        const y = 18 + row * rowHeight;
        const box = { x, y, width: cell - gap, height: rowHeight - gap };
        drawn.push(svg("rect", { ...box, rx: gap > 1 ? 3 : 0, class: `heat heat-${level(share)}` }));
        // Below 1% there is nothing to read, and a worker does not wait for its own block.
        if (cell >= 38 && rowHeight >= 18 && level(share) > 0) {
          const at = { x: x + (cell - gap) / 2, y: y + (rowHeight - gap) / 2 + 4, "text-anchor": "middle" };
          drawn.push(svg("text", { ...at, class: `heat-text-${level(share)}` }, percent(share, 0)));
        }
      }
    }
    const every = Math.max(1, Math.ceil(26 / cell));
    const isWide = size === 1 && cell >= 92;
    for (let column = 0; column < columns; column += every) {
      const word = isWide || (column === 0 && cell >= 56) ? stepWord(column) : String(column * size);
      const x = left + (column + 0.5) * cell;
      if (x + 4 * word.length <= this.#width) names.push(svg("text", { x, y: 11, "text-anchor": "middle" }, word));
    }
    this.#cells.replaceChildren(...drawn);
    this.#names.replaceChildren(...names);
    setText(this.#note, size > 1 ? `Each cell is the mean of ${size} workers by ${size} steps.` : "");
    setAttribute(this.#picture, "aria-label", this.#spoken());
    this.#move(this.#at);
  }

  #spoken() {
    let worst = null;
    for (const cell of this.#table.cells.flat()) {
      if (cell.number > 0 && (!worst || cell.wait > worst.wait)) worst = cell;
    }
    const text = `Ring steps of ${this.#shares.length} workers; arrow keys read cells.`;
    if (!worst) return text;
    const { worker } = this.#shares[worst.row];
    const share = percent(this.#waited(worst));
    return `${text} Most waiting: ${worker}, ${stepWord(worst.column)}, ${share} of the prefill.`;
  }

  /** How much of the prefill a cell's worker waited in that step. */
  #waited({ wait }) {
    return this.#whole > 0 ? wait / this.#whole : 0;
  }

  #point(event) {
    const box = this.#picture.getBoundingClientRect();
    const { cell, left, rowHeight } = this.#size;
    const row = Math.floor((event.clientY - box.top - 18) / rowHeight);
    const column = Math.floor((event.clientX - box.left - left) / cell);
    this.#move(this.#table?.cells[row]?.[column]?.number > 0 ? [row, column] : null);
  }

  #move(at) {
    const cells = this.#table?.cells ?? [];
    const inside = at && [
      Math.min(cells.length - 1, Math.max(0, at[0])),
      Math.min((cells[0]?.length ?? 1) - 1, Math.max(0, at[1])),
    ];
    const value = inside && cells[inside[0]]?.[inside[1]];
    this.#at = value ? inside : null;
    setAttribute(this.#cursor, "hidden", !value);
    if (!value) {
      const hint = "Point at a cell to read it: a worker's own block, or that of the worker so many places before it.";
      setText(this.#readout, hint);
      return;
    }
    const { cell, left, rowHeight } = this.#size;
    const [row, column] = this.#at;
    const box = { x: left + column * cell - 0.5, y: 17.5 + row * rowHeight, width: cell, height: rowHeight };
    setAttributes(this.#cursor, box);
    const from = this.#shares[value.row].worker;
    const parts = [
      `${shortened(from, 40)}, ${stepWord(value.column)}: ${duration(value.compute)} computing`,
    ];
    if (value.column > 0) {
      parts.push(`${duration(value.wait)} waiting (${percent(this.#waited(value))} of the prefill)`);
      parts.push(`${duration(value.wire)} on the wire, ${bytes(value.bytes)}`);
    }
    setText(this.#readout, parts.join(", "));
  }
}

/** Whose block a step of the ring attends to, in the words of `lariat show`. */
export function stepWord(step) {
  return step === 0 ? "own block" : `from ${step} before`;
}

/** From 0 to 4, for a part of the prefill in whole percent, as it is shown: below 1, 2, 5 and 10, and from there on. */
export function level(share) {
  return [1, 2, 5, 10].filter((limit) => Math.round(100 * share) >= limit).length;
}
