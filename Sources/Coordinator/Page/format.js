// Numbers as people read them, in the words and units of the command line (Rendering/Quantities.swift).

/** With thousands separators: `1,234,567`. */
export function count(value) {
  return Number.isFinite(value) ? Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, ",") : "-";
}

/** Three significant figures for values from 0.01 up to 1023. */
function figures(value) {
  return value.toFixed(value < 9.995 ? 2 : value < 99.95 ? 1 : 0);
}

/** In binary units: `17 B`, `1.50 KiB`, `12.3 GiB`, `512 MiB`. */
export function bytes(value) {
  if (!Number.isFinite(value) || value < 0) return "-";
  if (value < 1024) return `${Math.round(value)} B`;
  const units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
  let scaled = value / 1024;
  let unit = 0;
  while (scaled >= 1023.5 && unit + 1 < units.length) {
    scaled /= 1024;
    unit += 1;
  }
  return `${figures(scaled)} ${units[unit]}`;
}

const padded = (value) => String(value).padStart(2, "0");

/** `850 ms`, `5.63 s`, `2 min 03 s`, `1 h 04 min`, `3 d 02 h`. Negative or not a number: `-`. */
export function duration(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "-";
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${figures(seconds)} s`;
  if (seconds >= 1e9) return "more than 30 years";
  return coarse(Math.round(seconds));
}

/** As `duration`, in whole seconds: for what ticks (`5 s`). */
export function wholeSeconds(seconds) {
  if (!Number.isFinite(seconds) || seconds < 0) return "-";
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : coarse(Math.min(whole, 1e9));
}

function coarse(whole) {
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${padded(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${padded(Math.floor((whole % 86400) / 3600))} h`;
}

/** How long ago, to one unit: `just now`, `3 min ago`, `2 d ago`. */
export function ago(seconds) {
  if (!Number.isFinite(seconds)) return "-";
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${count(Math.floor(seconds / 86400))} d ago`;
}

/** Tokens per second with three significant figures; `-` when not known. */
export function rate(tokensPerSecond) {
  if (!Number.isFinite(tokensPerSecond) || tokensPerSecond <= 0) return "-";
  return tokensPerSecond >= 999.5 ? count(tokensPerSecond) : figures(tokensPerSecond);
}

/** A part of one in percent with one decimal: `33.3%`; `-` when not a number. */
export function percent(part, decimals = 1) {
  return Number.isFinite(part) ? `${(part * 100).toFixed(decimals)}%` : "-";
}

/** Microseconds since 1970 in UTC: `2026-11-23 21:41:27`; `-` for 0. */
export function time(microseconds) {
  if (!(microseconds > 0) || microseconds > 8e18) return "-";
  return new Date(microseconds / 1000).toISOString().slice(0, 19).replace("T", " ");
}

/** The time of day alone, in UTC: `21:41:27`. */
export function clock(microseconds) {
  return time(microseconds).slice(11) || "-";
}

/** At most `length` characters; the middle gives way to an ellipsis, as ends of names tell them apart. */
export function shortened(text, length) {
  const characters = Array.from(text.slice(0, 4 * length + 512));
  if (characters.length <= length && text.length <= 4 * length + 512) return text;
  const head = Math.ceil((length - 1) / 2);
  const tail = length - 1 - head;
  return characters.slice(0, head).join("") + "…" + (tail > 0 ? characters.slice(-tail).join("") : "");
}
