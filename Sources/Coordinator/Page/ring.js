// The ring as a picture: workers on a circle, the sequence shared among them as arcs, blocks going round.
// `layout` is arithmetic alone; `Ring` draws it.

import { element, keyed, setAttribute, setAttributes, setFacts, setText, svg } from "./dom.js";
import { bytes, count, duration, percent, shortened, wholeSeconds } from "./format.js";
import { STATES, rings, stateWord } from "./state.js";

const MOST_LABELLED = 24;
const MOST_LABELLED_NARROW = 8;
const MOST_WITH_TWO_LINES = 12;
/** More rates would run into each other; each worker's own figures have its rate always. */
const MOST_WITH_RATES = 6;
const NARROW = 460; // pixels

/** A shape for each state, within 7 pixels of the origin: no state is told by colour alone. */
const SHAPES = {
  busy: "M0-7L7 0 0 7-7 0Z",
  ready: "M0-5.500A5.500 5.500 0 1 1 0 5.500 5.500 5.500 0 1 1 0-5.500Z",
  draining: "M-6.500-5H6.500L0 6.500Z",
  aside: "M-6.500 5H6.500L0-6.500Z",
  refused: "M-5.500-5.500H5.500V5.500H-5.500Z",
  lost: "M-6-3.500-3.500-6 0-2.500 3.500-6 6-3.500 2.500 0 6 3.500 3.500 6 0 2.500-3.500 6-6 3.500-2.500 0Z",
};

/** A known state, or "lost" for what this page has never heard of. */
export function known(state) {
  return STATES.includes(state) ? state : "lost";
}

/** A state's shape as a small picture, for text and tables. */
export function stateMark(state) {
  return svg(
    "svg",
    { class: `mark is-${known(state)}`, viewBox: "-8 -8 16 16", "aria-hidden": "true" },
    svg("path", { d: SHAPES[known(state)] }),
  );
}

/** A state's shape with a word. `update(state, word)` on the element changes both. */
export function stateChip() {
  const word = element("span");
  const chip = element("span", { class: "chip" }, word);
  chip.update = (state, text = state) => {
    if (chip.shown !== state) chip.replaceChildren(stateMark(state), word);
    chip.shown = state;
    setText(word, text || "unknown");
  };
  return chip;
}

/**
 * Where everything goes. Angles in radians clockwise from the top, lengths in pixels.
 *
 * A worker's arc is as long as its share of its job's tokens (at least a quarter of an even share, so that it can be
 * seen and pointed at); workers without a job get even arcs. Links go from each worker of a job to the next, and
 * from its last to its first: on round the circle when one job runs, back along an inner lane when several do.
 */
export function layout(groups, width) {
  const total = groups.reduce((sum, group) => sum + group.workers.length, 0);
  const narrow = width < NARROW;
  const labelled = total <= (narrow ? MOST_LABELLED_NARROW : MOST_LABELLED);
  const lines = !labelled ? 0 : total <= 8 && !narrow ? 3 : total <= MOST_WITH_TWO_LINES ? 2 : 1;
  const aside = labelled ? (narrow ? 76 : 128) : 26;
  const above = labelled ? 30 + 16 * lines : 26;
  const radius = Math.max(64, Math.min((width - 2 * aside) / 2, labelled ? 182 : 200));
  const thickness = narrow ? 12 : 22;
  const several = groups.filter((group) => group.job).length > 1;
  const place = {
    narrow,
    labelled,
    radius,
    thickness,
    lane: radius - thickness / 2 - (narrow ? 9 : 13),
    lines,
    width,
    height: 2 * (radius + above),
    nodes: [],
    links: [],
  };
  const unit = (2 * Math.PI) / Math.max(1, total);
  const gap = Math.min(0.05, unit * 0.12);
  let angle = groups.length === 1 && groups[0].workers.length > 0 ? -unit / 2 : 0;
  for (const group of groups) {
    const weights = arcs(group.workers);
    const first = place.nodes.length;
    for (const [index, worker] of group.workers.entries()) {
      const end = angle + unit * weights[index];
      place.nodes.push({
        ...worker,
        job: group.job,
        live: group.progress?.workers.get(worker.member.name) ?? null,
        layers: group.progress?.layers ?? 0,
        from: total === 1 ? 0 : angle + gap / 2,
        to: total === 1 ? 2 * Math.PI : end - gap / 2,
        middle: total === 1 ? 0 : (angle + end) / 2,
      });
      angle = end;
    }
    const nodes = place.nodes.slice(first);
    if (!group.job || nodes.length < 2) continue;
    // Of many workers, some links stand for all.
    const stride = labelled ? 1 : Math.ceil(nodes.length / 8);
    for (let index = 0; index < nodes.length; index += stride) {
      const node = nodes[index];
      const closing = index + stride >= nodes.length;
      const next = closing ? nodes[0] : nodes[index + stride];
      const back = closing && several;
      place.links.push({
        from: node,
        to: next,
        back,
        start: node.middle,
        end: closing && !back ? next.middle + 2 * Math.PI : next.middle,
        rate: node.live?.ring_bytes_per_second ?? 0,
      });
    }
  }
  return place;
}

/** Lengths of a group's arcs, in even shares: their sum is the number of workers. */
function arcs(workers) {
  const tokens = workers.map(({ share }) => share?.tokens ?? 0);
  const sum = tokens.reduce((a, b) => a + b, 0);
  if (!(sum > 0)) return workers.map(() => 1);
  const weights = tokens.map((own) => Math.max(0.25, (own / sum) * workers.length));
  const scale = workers.length / weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight * scale);
}

function point(radius, angle) {
  return `${(radius * Math.sin(angle)).toFixed(2)} ${(-radius * Math.cos(angle)).toFixed(2)}`;
}

/** Part of a circle; clockwise when `to` is larger. A whole circle takes two halves. */
function arc(radius, from, to) {
  const sweep = to >= from ? 1 : 0;
  const r = radius.toFixed(2);
  if (Math.abs(to - from) > 2 * Math.PI - 0.001) {
    const half = (from + to) / 2;
    return `M${point(radius, from)}A${r} ${r} 0 1 ${sweep} ${point(radius, half)}`
      + `A${r} ${r} 0 1 ${sweep} ${point(radius, to)}`;
  }
  const large = Math.abs(to - from) > Math.PI ? 1 : 0;
  return `M${point(radius, from)}A${r} ${r} 0 ${large} ${sweep} ${point(radius, to)}`;
}

/** A worker in one line, for those who hear the page. */
function spoken(node) {
  const parts = [node.member.name, node.member.state];
  if (node.job) parts.push(`job ${node.job.id}`);
  if (node.live && node.layers > 0) parts.push(`layer ${node.live.layer} of ${node.layers}`);
  if (node.member.reason) parts.push(node.member.reason);
  return parts.join(", ");
}

/** A worker's step of the ring, from 1: `2 of 3`. In the data, as in a job's shares, step 0 is its own block. */
export function ringStep({ step, steps }) {
  return `${Math.min(steps, (step ?? 0) + 1)} of ${steps}`;
}

/** How much of its arc a worker has done: its layers in prefill, all in decode. */
function done(node) {
  if (!node.job) return 0;
  if (node.job.state === "DECODE") return 1;
  if (node.live && node.layers > 0) return Math.min(1, node.live.layer / node.layers);
  return node.job.prompt_tokens > 0 ? Math.min(1, node.job.prefilled_tokens / node.job.prompt_tokens) : 0;
}

export class Ring {
  root;
  #picture;
  #arcs;
  #links;
  #rates;
  #nodes;
  #labels;
  #centre;
  #tip;
  #legend;
  #width = 0;
  #place = null;
  #state = null;
  #shown = null; // name of the worker in the tip
  #current = null; // name of the worker that Tab goes to

  constructor() {
    this.#arcs = svg("g", { class: "ring-arcs" });
    this.#links = svg("g", { class: "ring-links" });
    this.#rates = svg("g", { class: "ring-rates" });
    this.#labels = svg("g", { class: "ring-labels" });
    this.#nodes = svg("g", { class: "ring-nodes" });
    const arrow = svg(
      "marker",
      {
        id: "arrow", viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 8, markerHeight: 8,
        markerUnits: "userSpaceOnUse", orient: "auto", class: "arrow",
      },
      svg("path", { d: "M0 0L8 4 0 8 2 4Z" }),
    );
    this.#picture = svg(
      "svg",
      { class: "ring-picture", role: "group", "aria-label": "Workers in ring order; arrow keys go round" },
      svg("defs", {}, arrow),
      this.#links,
      this.#arcs,
      this.#nodes,
      this.#labels,
      this.#rates,
    );
    this.#centre = element("div", { class: "ring-centre" });
    this.#tip = element("div", { class: "tip", hidden: true });
    this.#legend = element("ul", { class: "legend", "aria-label": "Workers by state" });
    const stage = element("div", { class: "ring-stage" }, this.#picture, this.#centre, this.#tip);
    this.root = element("div", { class: "ring" }, stage, this.#legend);
    this.#picture.addEventListener("keydown", (event) => this.#go(event));
    new ResizeObserver(([entry]) => {
      const width = Math.round(entry.contentRect.width);
      if (Math.abs(width - this.#width) < 2) return;
      this.#width = width;
      this.#draw();
    }).observe(stage);
  }

  update(state) {
    this.#state = state;
    this.#draw();
  }

  #draw() {
    if (!this.#state?.cluster || this.#width === 0) return;
    const groups = rings(this.#state);
    const place = layout(groups, Math.min(this.#width, 640));
    this.#place = place;
    const { width, height } = place;
    setAttributes(this.#picture, {
      width,
      height,
      viewBox: `${-width / 2} ${-height / 2} ${width} ${height}`,
      class: `ring-picture${place.labelled ? "" : " dense"}`,
    });
    const hole = 1.8 * (place.lane - (place.narrow ? 5 : 20));
    this.root.firstChild.style.setProperty("--hole", `${Math.round(hole)}px`);
    if (!place.nodes.some((node) => node.member.name === this.#current)) {
      this.#current = place.nodes[0]?.member.name ?? null;
    }
    this.#drawArcs(place);
    this.#drawNodes(place);
    this.#drawLinks(place);
    this.#drawLabels(place);
    this.#drawCentre(groups, place);
    this.#drawLegend(place);
    this.#drawTip();
  }

  #drawArcs(place) {
    const bands = place.nodes.length > 0 ? place.nodes : [{ empty: true, from: 0, to: 2 * Math.PI }];
    keyed(
      this.#arcs,
      bands,
      (node) => (node.empty ? "" : `=${node.member.name}`),
      () => svg("g", {}, svg("path", { class: "band" }), svg("path", { class: "band-done" })),
      (group, node) => {
        const [band, full] = group.children;
        setAttribute(group, "class", node.empty ? "is-empty" : `is-${known(node.member.state)}`);
        setAttributes(band, { d: arc(place.radius, node.from, node.to), "stroke-width": place.thickness });
        const part = node.empty ? 0 : done(node);
        const end = node.from + (node.to - node.from) * part;
        setAttributes(full, {
          d: part > 0.002 ? arc(place.radius, node.from, end) : "M0 0",
          "stroke-width": place.thickness,
        });
      },
    );
  }

  #drawNodes(place) {
    keyed(
      this.#nodes,
      place.nodes,
      (node) => node.member.name,
      (node) => this.#makeNode(node.member.name),
      (group, node) => {
        const [target, disc, shape] = group.children;
        const state = known(node.member.state);
        const calm = state === "ready" || state === "busy";
        setAttributes(group, {
          class: `node is-${state}`,
          "aria-label": spoken(node),
          tabindex: node.member.name === this.#current ? 0 : -1,
        });
        setAttributes(target, { d: arc(place.radius, node.from, node.to), "stroke-width": place.thickness + 16 });
        const at = point(place.radius, node.middle).replace(" ", ",");
        const small = !place.labelled && calm;
        const size = small ? Math.min(0.6, (node.to - node.from) * place.radius / 18) : place.narrow ? 0.85 : 1;
        setAttributes(disc, { transform: `translate(${at})`, r: small ? 10 * size : place.thickness / 2 + 2 });
        setAttributes(shape, { transform: `translate(${at}) scale(${size.toFixed(2)})`, d: SHAPES[state] });
      },
    );
  }

  #makeNode(name) {
    const show = () => this.#show(name);
    return svg(
      "g",
      {
        role: "img",
        onpointerenter: show,
        onpointerleave: () => this.#show(this.#focused()),
        onpointerdown: show,
        onfocus: () => {
          this.#current = name;
          show();
        },
        onblur: () => this.#show(null),
      },
      svg("path", { class: "node-target" }),
      svg("circle", { class: "node-disc" }),
      svg("path", { class: "node-shape" }),
    );
  }

  #focused() {
    return this.#nodes.contains(document.activeElement) ? this.#current : null;
  }

  #drawLinks(place) {
    const r = place.lane;
    const several = place.links.some((link) => link.back);
    const trim = (place.labelled ? 12 : 6) / r;
    keyed(
      this.#links,
      place.links,
      (link) => `${link.from.member.name}\n${link.to.member.name}`,
      () => svg("g", {}, svg("path", { class: "lane" }), svg("path", { class: "flow" })),
      (group, link) => {
        const path = link.back
          ? `M${point(r, link.start)}L${point(r - 12, link.start - trim)}`
            + arc(r - 12, link.start - trim, link.end + trim).replace("M", "L")
            + `L${point(r - 2, link.end)}`
          : arc(r, link.start + trim, link.end - trim);
        setAttributes(group.firstChild, { d: path, "marker-end": "url(#arrow)" });
        const moving = link.rate > 0;
        setAttributes(group.lastChild, { d: path, class: moving ? "flow moving" : "flow", hidden: !moving });
      },
    );
    const rates = place.labelled && !place.narrow && place.nodes.length <= MOST_WITH_RATES
      ? place.links.filter((link) => link.rate > 0 && !link.back)
      : [];
    keyed(
      this.#rates,
      rates,
      (link) => `${link.from.member.name}\n${link.to.member.name}`,
      () => svg("text"),
      (text, link) => {
        const angle = (link.start + link.end) / 2;
        const [x, y] = point(r - (several ? 30 : 18), angle).split(" ").map(Number);
        setAttributes(text, { x, y: y + 4, "text-anchor": anchor(-Math.sin(angle)) });
        setText(text, `${bytes(link.rate)}/s`);
      },
    );
  }

  #drawLabels(place) {
    keyed(
      this.#labels,
      place.lines > 0 ? place.nodes : [],
      (node) => node.member.name,
      () => svg("g", {}, svg("text", { class: "name" }), svg("text"), svg("text")),
      (group, node) => {
        const lines = [
          shortened(node.member.name, place.narrow ? 8 : 17),
          ...this.#words(node, place),
        ].slice(0, place.lines);
        const height = 16;
        const away = place.radius + place.thickness / 2 + (place.narrow ? 8 : 12);
        const [x, y] = point(away, node.middle).split(" ").map(Number);
        // Labels at the top grow upwards, those at the bottom downwards, those aside both ways.
        const share = (1 - Math.cos(node.middle + Math.PI)) / 2;
        const top = y - share * height * (lines.length - 1) + (share > 0.9 ? -2 : share < 0.1 ? 10 : 4);
        for (const [index, text] of [...group.children].entries()) {
          setAttributes(text, { x, y: top + index * height, "text-anchor": anchor(Math.sin(node.middle)) });
          setText(text, lines[index] ?? "");
        }
      },
    );
  }

  #words(node, place) {
    const { member, live, share, job } = node;
    if (!job) return [member.state, member.state === "ready" ? bytes(member.memory_bytes) : ""];
    const sum = (job.shares ?? []).reduce((total, one) => total + one.tokens, 0);
    const held = share && sum > 0 ? percent(share.tokens / sum) : "";
    if (member.state !== "busy") return [member.state, held];
    const busy = job.state === "PREFILL" && live && node.layers > 0;
    const doing = busy ? `${place.narrow ? "" : "layer "}${live.layer}/${node.layers}` : stateWord(job);
    return [doing, held && `${held} of tokens`];
  }

  #drawCentre(groups, place) {
    const running = groups.filter((group) => group.job);
    const members = place.nodes.length;
    const lines = [];
    if (members === 0) {
      lines.push(["big", "No workers"], ["", "None has registered yet."]);
    } else if (running.length === 0) {
      const ready = place.nodes.filter((node) => node.member.state === "ready").length;
      lines.push(["big", ready > 0 ? "Idle" : "Out of service"]);
      lines.push(["", `${count(ready)} of ${count(members)} ${members === 1 ? "worker" : "workers"} ready`]);
    } else if (running.length === 1) {
      lines.push(...this.#phase(running[0], place));
    } else {
      lines.push(["big", `${running.length} jobs`]);
      for (const group of running.slice(0, 3)) {
        const { part } = this.#state.advance(group.job);
        lines.push(["", `${shortened(group.job.id, 10)} ${group.job.state.toLowerCase()} ${percent(part, 0)}`]);
      }
    }
    keyed(
      this.#centre,
      lines.map(([kind, text], index) => ({ kind, text, index })),
      (line) => line.index,
      () => element("p"),
      (node, { kind, text }) => {
        setAttribute(node, "class", kind || null);
        setText(node, text);
      },
    );
  }

  #phase({ job, progress }, place) {
    const { part, left, bound, stalled } = this.#state.advance(job);
    const lines = [["", `${shortened(job.id, 12)} ${stateWord(job)}`]];
    if (job.state === "DECODE") {
      const most = count(job.options?.max_tokens);
      lines.push(["big", count(job.generated_tokens)]);
      lines.push(["", place.narrow ? `of ${most} tokens` : `of at most ${most} tokens`]);
    } else {
      lines.push(["big", percent(part, 0)]);
      const first = [...(progress?.workers.values() ?? [])][0];
      if (progress?.layers > 0) {
        const layer = place.narrow
          ? `layer ${progress.layer}/${progress.layers}`
          : `layer ${progress.layer} of ${progress.layers}`;
        lines.push(["", first?.steps > 1 && !place.narrow ? `${layer}, step ${ringStep(first)}` : layer]);
      }
    }
    if (stalled > 0) lines.push(["warn", `no progress for ${wholeSeconds(stalled)}`]);
    else if (left !== null && place.narrow) lines.push(["", `${bound ? "≤" : "≈"} ${wholeSeconds(left)}`]);
    else if (left !== null) lines.push(["", `${bound ? "at most" : "about"} ${wholeSeconds(left)} left`]);
    return lines;
  }

  #drawLegend(place) {
    const counts = STATES.map((state) => ({
      state,
      number: place.nodes.filter((node) => known(node.member.state) === state).length,
    })).filter(({ number }) => number > 0);
    keyed(
      this.#legend,
      counts,
      ({ state }) => state,
      ({ state }) => element("li", {}, stateMark(state), element("span")),
      (item, { state, number }) => setText(item.lastChild, `${count(number)} ${state}`),
    );
  }

  #show(name) {
    this.#shown = name;
    this.#drawTip();
  }

  #drawTip() {
    const node = this.#place?.nodes.find(({ member }) => member.name === this.#shown);
    this.#tip.hidden = !node;
    for (const child of this.#nodes.children) child.classList.toggle("shown", false);
    if (!node) return;
    this.#nodes.keyedChildren.get(node.member.name)?.classList.add("shown");
    if (!this.#tip.firstChild) this.#tip.append(element("strong"), element("dl", { class: "facts small" }));
    setText(this.#tip.firstChild, shortened(node.member.name, 40));
    setFacts(this.#tip.lastChild, this.#facts(node));
    const place = this.#place;
    const [x, y] = point(place.radius, node.middle).split(" ").map(Number);
    // Towards the middle of the picture, so that it never leaves it.
    const left = this.#width / 2 + x;
    const top = place.height / 2 + y;
    this.#tip.style.setProperty("left", `${Math.round(Math.min(Math.max(left - 110, 4), this.#width - 228))}px`);
    if (y < 0) {
      this.#tip.style.setProperty("top", `${Math.round(top + 18)}px`);
      this.#tip.style.removeProperty("bottom");
    } else {
      this.#tip.style.setProperty("bottom", `${Math.round(place.height - top + 18)}px`);
      this.#tip.style.removeProperty("top");
    }
  }

  #facts({ member, job, share, live, layers }) {
    const facts = [
      ["state", member.state],
      ["reason", member.reason ? shortened(member.reason, 140) : ""],
      ["job", job ? job.id : ""],
      ["tokens", share ? count(share.tokens) : ""],
      ["layer", live && layers > 0 ? `${live.layer} of ${layers}` : ""],
      ["step", live?.steps > 1 ? ringStep(live) : ""],
      ["computing", live && Number.isFinite(live.compute_share) ? `${percent(live.compute_share, 0)} of the time` : ""],
      ["to the next", live?.ring_bytes_per_second > 0 ? `${bytes(live.ring_bytes_per_second)}/s` : ""],
    ];
    if (Number.isFinite(member.kv_bytes_used)) {
      facts.push(["KV", `${bytes(member.kv_bytes_used)} of ${bytes(member.memory_bytes)}`]);
    }
    facts.push(["heard", `${duration(this.#state.heartbeatAge(member))} ago`]);
    return facts;
  }

  /** Arrow keys go round, Home and End to the first and the last. */
  #go(event) {
    const nodes = this.#place?.nodes ?? [];
    const index = nodes.findIndex(({ member }) => member.name === this.#current);
    const [next, before] = [index + 1, index - 1];
    const to = { ArrowRight: next, ArrowDown: next, ArrowLeft: before, ArrowUp: before, Home: 0, End: -1 };
    if (event.key === "Escape") this.#show(null);
    if (nodes.length === 0 || !(event.key in to)) return;
    event.preventDefault();
    const name = nodes.at(to[event.key] % nodes.length).member.name;
    for (const [key, node] of this.#nodes.keyedChildren) setAttribute(node, "tabindex", key === name ? 0 : -1);
    this.#nodes.keyedChildren.get(name)?.focus();
  }
}

function anchor(x) {
  return x > 0.2 ? "start" : x < -0.2 ? "end" : "middle";
}
