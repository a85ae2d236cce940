// Elements: made once, then updated in place, so that focus, selection and animations survive an update.
// Text from outside only ever becomes a text node or an attribute's value, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element. `attributes` are attributes; `on...` are listeners; null, false and undefined are left out. */
export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else setAttribute(node, name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Touches the document only when something changes. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** null, false and undefined take the attribute away; true is the empty value. */
export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : String(value);
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

/** Several attributes at once. */
export function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) setAttribute(node, name, value);
}

/** Makes the children of `parent` those of `items`, in order: kept by key, made by `create`, filled by `update`. */
export function keyed(parent, items, key, create, update) {
  const old = parent.keyedChildren ?? new Map();
  const now = new Map();
  let place = parent.firstChild;
  for (const item of items) {
    const id = key(item);
    if (now.has(id)) continue;
    const node = old.get(id) ?? create(item);
    now.set(id, node);
    update(node, item);
    if (node === place) place = place.nextSibling;
    else parent.insertBefore(node, place);
  }
  for (const [id, node] of old) if (!now.has(id)) node.remove();
  parent.keyedChildren = now;
}

/** Terms and what they are: `[["model", "a.gguf"], ...]`; pairs without a value are left out. */
export function setFacts(list, facts) {
  const shown = facts.filter(([, value]) => value !== "" && value !== null && value !== undefined);
  keyed(
    list,
    shown,
    ([term]) => term,
    ([term]) => element("div", {}, element("dt", {}, term), element("dd")),
    (node, [, value]) => setText(node.lastChild, value),
  );
}

/** A bar that is `part` (0 to 1) full, with words for those who do not see it. */
export function progressBar(label) {
  const fill = element("span", { class: "bar-fill" });
  const bar = element(
    "span",
    { class: "bar", role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 },
    fill,
  );
  bar.show = (part, kind = "") => {
    const inside = Math.min(1, Math.max(0, part || 0));
    fill.style.setProperty("width", `${(inside * 100).toFixed(2)}%`);
    setAttribute(bar, "aria-valuenow", Math.round(inside * 100));
    setAttribute(bar, "class", `bar ${kind}`.trim());
  };
  return bar;
}
