/**
 * <kb-meta-box src="/api/v1/posts/SLUG/meta/"> turns the meta JSON of one published post into a box beside the article.
 *
 * It needs nothing but this file and a page that may run it: no framework, no other style sheet, no inline code, so a
 * policy of `script-src 'self'; style-src 'self'; connect-src 'self'` is enough. Whatever the JSON holds is put in as
 * text; links and images are made of absolute http and https addresses only. What is missing or of another type than
 * expected is left out or shown as plain text, never thrown over.
 *
 *   <script type="module" src="/static/kb/metabox.js"></script>
 *   <kb-meta-box src="/api/v1/posts/some-post/meta/"></kb-meta-box>
 *
 * Attributes
 *   src            address of the meta JSON; changing it loads anew and drops the answer under way
 *   images         "show" (default) loads images; "link" names them with a link and loads nothing
 *   heading-level  level of the box's heading, 1 to 5 (default 2); its sections are one level lower
 *   timeout-ms     how long to wait for the answer (default 10000)
 *   lang           language for numbers and dates; else the nearest one on the page
 *
 * Properties and methods
 *   src            mirrors the attribute
 *   data           the JSON that is shown, or null
 *   state          "idle", "loading", "ready", "empty" or "error"
 *   reload()       fetches anew; resolves when the box shows the outcome
 *
 * Events (they bubble and leave the shadow root)
 *   kb-load        detail: {data}
 *   kb-error       detail: {kind, status, message}; kind is one of address, network, timeout, signin, missing,
 *                  busy, server, refused, unreadable
 *   kb-tick        detail: {index, item, checked, done, total}
 *
 * Parts
 *   box heading review label section section-heading facts chips chip outline meter bar checklist progress
 *   figure image details error retry skeleton
 *
 * Custom properties (those of tokens.css, each with a built-in default that follows the page's color-scheme)
 *   --kb-paper --kb-surface --kb-ink --kb-muted --kb-line --kb-edge --kb-accent --kb-info --kb-warn --kb-danger
 *   and their -tint variants, --kb-on-fill --kb-font --kb-mono --kb-radius
 */

const STYLE = `
:host {
  --_paper: var(--kb-paper, light-dark(#ffffff, #14171a));
  --_surface: var(--kb-surface, light-dark(#f5f6f7, #1d2226));
  --_ink: var(--kb-ink, light-dark(#1c2024, #e7e9eb));
  --_muted: var(--kb-muted, light-dark(#5b636b, #a1a9b1));
  --_line: var(--kb-line, light-dark(#d5dade, #343b41));
  --_edge: var(--kb-edge, light-dark(#7c858d, #747d86));
  --_accent: var(--kb-accent, light-dark(#0b6b4d, #56c79f));
  --_accent-tint: var(--kb-accent-tint, light-dark(#e7f1ed, #1b2b28));
  --_info: var(--kb-info, light-dark(#1b5fa6, #84bbf3));
  --_info-tint: var(--kb-info-tint, light-dark(#e8eff6, #1f2932));
  --_warn: var(--kb-warn, light-dark(#875300, #e2b04a));
  --_warn-tint: var(--kb-warn-tint, light-dark(#f6efe2, #2b271d));
  --_danger: var(--kb-danger, light-dark(#b42318, #f48b80));
  --_danger-tint: var(--kb-danger-tint, light-dark(#f9ebea, #2e2323));
  --_on-fill: var(--kb-on-fill, light-dark(#ffffff, #14171a));
  --_radius: var(--kb-radius, 6px);
  --_mono: var(--kb-mono, ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace);
  display: block;
  container-type: inline-size;
  color: var(--_ink);
  font: 400 14px/1.5 var(--kb-font, system-ui, -apple-system, "Segoe UI", Roboto, sans-serif);
  text-align: start;
  overflow-wrap: anywhere;
}
:host([hidden]) { display: none; }
* { box-sizing: border-box; }
.box { background: var(--_paper); border: 1px solid var(--_line); border-radius: var(--_radius); overflow: clip; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
.box:focus { outline: none; }
h1, h2, h3, h4, h5, h6 { font-size: 14px; line-height: 20px; font-weight: 600; margin: 0 0 8px; }
.title { font-size: 16px; line-height: 24px; margin: 0; padding: 12px 16px; }
p, ul, ol, dl, dd, figure { margin: 0; padding: 0; }
p, li, dd, figcaption { unicode-bidi: isolate; }
ul, ol { list-style: none; }
a { color: var(--_accent); text-underline-offset: 2px; }
.muted, dt { color: var(--_muted); }
.mono { font-family: var(--_mono); font-size: 12px; line-height: 20px; }
.lead { font-size: 16px; line-height: 1.6; max-inline-size: 68ch; }
.text { max-inline-size: 72ch; }
.section { padding: 16px; border-block-start: 1px solid var(--_line); }
.section > * + p, .section > p + * { margin-block-start: 8px; }
.hidden { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
svg { inline-size: 16px; block-size: 16px; flex: none; fill: none; stroke: currentColor; stroke-width: 2;
  stroke-linecap: round; stroke-linejoin: round; }
.review { display: grid; grid-template-columns: 16px 1fr; gap: 4px 8px; padding: 12px 16px;
  background: var(--_accent-tint); border-block-start: 1px solid var(--_line); }
.review svg { margin-block-start: 3px; color: var(--_accent); }
.review.unreviewed { background: var(--_warn-tint); }
.review.unreviewed svg { color: var(--_warn); }
.review > :not(svg) { grid-column: 2; }
.review > svg + * { font-weight: 600; }
.overdue { color: var(--_danger); font-weight: 600; }
time[title] { text-decoration: underline dotted; text-decoration-thickness: 1px; text-underline-offset: 3px; }
.chips { display: flex; flex-wrap: wrap; gap: 4px; }
.chip, .label { padding: 1px 8px; border: 1px solid var(--_line); border-radius: var(--_radius); font-size: 12px;
  line-height: 20px; max-inline-size: 100%; }
.chip { background: var(--_surface); }
.label { display: inline-block; justify-self: start; border-color: currentColor; color: var(--_info);
  background: var(--_info-tint); }
.label.warn { color: var(--_warn); background: var(--_warn-tint); }
.facts { display: grid; grid-template-columns: minmax(96px, max-content) minmax(0, 1fr); gap: 4px 16px; }
.facts > div { display: contents; }
.facts dt { max-inline-size: 144px; }
.facts dd { font-variant-numeric: tabular-nums; }
.outline { display: grid; gap: 8px 24px; }
.outline dt { font-size: 12px; line-height: 16px; }
dt::first-letter, .cap::first-letter { text-transform: uppercase; }
.meters { display: grid; gap: 8px 24px; }
.meter { display: grid; grid-template-columns: 1fr auto; gap: 4px 8px; }
.meter .value { font-variant-numeric: tabular-nums; }
.bar { grid-column: 1 / -1; block-size: 6px; border-radius: 3px; background: var(--_line); overflow: hidden; }
.bar > span { display: block; block-size: 100%; background: var(--_accent); }
.tick { display: grid; grid-template-columns: 24px 1fr; align-items: start; min-block-size: 28px; padding-block: 4px;
  cursor: pointer; }
.tick input { inline-size: 16px; block-size: 16px; margin: 2px 0 0; accent-color: var(--_accent); }
.tick input:checked + span { color: var(--_muted); text-decoration: line-through; }
.progress { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 4px 12px;
  min-block-size: 28px; margin-block-start: 4px; }
.group + .group { margin-block-start: 8px; }
.group > .muted { font-size: 12px; line-height: 16px; margin-block-end: 4px; }
.figures { display: grid; gap: 16px; }
.image { display: block; inline-size: 100%; aspect-ratio: 3 / 2; object-fit: cover; background: var(--_surface);
  border-radius: var(--_radius); margin-block-end: 8px; }
.notes { display: grid; gap: 8px; }
.notes li { padding-inline-start: 12px; border-inline-start: 2px solid var(--_line); }
details { border-block-start: 1px solid var(--_line); }
summary { padding: 12px 16px; font-weight: 600; cursor: pointer; }
summary:focus-visible { outline-offset: -2px; }
.inside { padding: 0 16px 16px; display: grid; gap: 16px; }
button { min-block-size: 32px; padding: 4px 12px; font: inherit; font-weight: 600; color: var(--_ink);
  background: var(--_paper); border: 1px solid var(--_edge); border-radius: var(--_radius); cursor: pointer; }
button:hover { background: var(--_surface); }
button.quiet { min-block-size: 24px; padding: 0; border: 0; background: none; color: var(--_accent); font-weight: 400;
  text-decoration: underline; text-underline-offset: 2px; }
.error { display: grid; grid-template-columns: 16px 1fr; gap: 4px 8px; padding: 16px; background: var(--_danger-tint);
  border-block-start: 1px solid var(--_line); }
.error > :not(svg) { grid-column: 2; }
.error > svg { margin-block-start: 3px; color: var(--_danger); }
.error > svg + * { font-weight: 600; }
.error button { justify-self: start; margin-block-start: 8px; }
.skeleton { display: grid; gap: 12px; padding: 16px; min-block-size: 360px; align-content: start;
  border-block-start: 1px solid var(--_line); }
.skeleton span { block-size: 12px; inline-size: 100%; border-radius: 3px; background: var(--_line); opacity: .6; }
.skeleton span:nth-child(3n + 1) { inline-size: 40%; }
.skeleton span:nth-child(3n) { inline-size: 80%; }
@media (prefers-reduced-motion: no-preference) {
  .skeleton span { animation: breathe 1.6s ease-in-out infinite alternate; }
  @keyframes breathe { to { opacity: .25; } }
}
@container (min-width: 560px) {
  .facts.wide, .meters, .figures, .outline { grid-template-columns: 1fr 1fr; }
  .facts.wide { gap: 4px 32px; }
  .facts.wide > div { display: grid; grid-template-columns: 112px minmax(0, 1fr); gap: 0 16px; }
}
@media (forced-colors: active) {
  .bar { border: 1px solid CanvasText; block-size: 8px; }
  .bar > span { background: CanvasText; forced-color-adjust: none; }
}
@media print {
  .box { border-color: #888; }
  button, .hint { display: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
  time[title]::after { content: " (" attr(title) ")"; }
  .figure, .tick, .meter { break-inside: avoid; }
}
`;

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);

const ICONS = {
  check: "M4 12.5 9.5 18 20 6.5",
  alert: "M12 4 2.5 20h19zM12 10v4M12 17v.5",
};
const TIMEOUT_MS = 10_000;
const TITLE = "About this note";

/** A failed load, in words for the reader; `kind` is for programs. */
class LoadError extends Error {
  constructor(kind, message, hint, status = 0) {
    super(message);
    Object.assign(this, { kind, hint, status });
  }
}

/* Values: JSON of any shape in, something that can be shown out. */

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const asObject = (value) => (isObject(value) ? value : {});
const asArray = (value) => (Array.isArray(value) ? value : asText(value) ? [value] : []);
const humanise = (key) => String(key).replaceAll("_", " ");

function asText(value, depth = 0) {
  if (typeof value === "string") return value.trim();
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "object" || value === null || depth > 4) return "";
  const parts = Array.isArray(value)
    ? value.map((item) => asText(item, depth + 1))
    : Object.entries(value).map(([key, item]) => [humanise(key), asText(item, depth + 1)].join(": "));
  return parts.filter(Boolean).join(", ");
}

const texts = (value) => asArray(value).map((item) => asText(item)).filter(Boolean);

function asNumber(value) {
  const number = typeof value === "string" && value.trim() ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
}

/** Source systems write true as 1. */
const isTrue = (value) => value === true || value === 1 || value === "1";

/** The address as a URL if it may be linked: absolute http or https without credentials; else null. */
function webAddress(value) {
  try {
    const url = new URL(asText(value));
    return /^https?:$/.test(url.protocol) && !url.username && !url.password ? url : null;
  } catch {
    return null;
  }
}

/* Elements: the only way in is textContent. */

function make(tag, { part, class: name = part, ...rest } = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (part) element.setAttribute("part", part);
  for (const [key, value] of Object.entries(rest)) element.setAttribute(key, value);
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(svg.namespaceURI, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

function linkTo(url) {
  return make("a", { href: url.href, rel: "noopener noreferrer" }, url.host);
}

const chips = (items) =>
  make("ul", { part: "chips", role: "list" }, items.map((item) => make("li", { part: "chip" }, item)));

function facts(pairs, extra = "") {
  const shown = pairs.filter(([, value]) => value instanceof Node || value);
  if (!shown.length) return null;
  return make(
    "dl",
    { part: "facts", class: `facts ${extra}`.trim() },
    shown.map(([name, value, style]) => make("div", {}, make("dt", {}, name), make("dd", { class: style }, value))),
  );
}

class KbMetaBox extends HTMLElement {
  static observedAttributes = ["src", "images", "heading-level", "lang"];

  #root = this.attachShadow({ mode: "open" });
  #status = make("p", { class: "hidden", role: "status" });
  #box = make("section", { part: "box", "aria-labelledby": "title", tabindex: "-1" });
  #controller = null;
  #loadedFrom = null;
  #error = null;
  #data = null;
  #state = "idle";
  #openForPrint = [];
  #isPlaced = false;

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.append(this.#status, this.#box);
  }

  get src() {
    return this.getAttribute("src") ?? "";
  }

  set src(value) {
    this.setAttribute("src", value);
  }

  get data() {
    return this.#data;
  }

  get state() {
    return this.#state;
  }

  connectedCallback() {
    if (Object.hasOwn(this, "src")) {
      // Set before this file arrived: hand it to the accessor that it hides.
      const early = this.src;
      delete this.src;
      this.src = early;
    }
    this.#isPlaced = true;
    addEventListener("beforeprint", this.#beforePrint);
    addEventListener("afterprint", this.#afterPrint);
    if (this.#loadedFrom !== this.src || this.#state !== "ready") this.reload();
  }

  disconnectedCallback() {
    this.#isPlaced = false;
    removeEventListener("beforeprint", this.#beforePrint);
    removeEventListener("afterprint", this.#afterPrint);
    this.#controller?.abort();
    this.#controller = null;
  }

  attributeChangedCallback(name, before, after) {
    // Attributes of the page's own markup come before connectedCallback, which loads once for all of them.
    if (!this.#isPlaced || before === after) return;
    if (name === "src") this.reload();
    else this.#render();
  }

  async reload() {
    this.#controller?.abort();
    const controller = (this.#controller = new AbortController());
    const from = this.src;
    this.#show("loading", {});
    try {
      const data = await this.#fetch(from, controller);
      if (controller !== this.#controller) return;
      this.#loadedFrom = from;
      this.#show("ready", { data });
      this.#emit("kb-load", { data });
    } catch (failure) {
      if (controller !== this.#controller) return;
      const error = failure instanceof LoadError ? failure : new LoadError("unreadable", "The answer could not be shown.", "");
      this.#show("error", { error });
      this.#emit("kb-error", { kind: error.kind, status: error.status, message: error.message });
    }
  }

  async #fetch(from, controller) {
    const url = this.#address(from);
    const limit = asNumber(this.getAttribute("timeout-ms")) ?? TIMEOUT_MS;
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      controller.abort();
    }, limit);
    try {
      const answer = await fetch(url, {
        credentials: "same-origin",
        headers: { Accept: "application/json" },
        signal: controller.signal,
      });
      if (!answer.ok) throw refusal(answer);
      const data = await answer.json();
      if (!isObject(data)) throw new SyntaxError("not an object");
      return data;
    } catch (failure) {
      if (failure instanceof LoadError) throw failure;
      if (late) throw new LoadError("timeout", `No answer within ${this.#number(limit / 1000)} seconds.`, "The server or the connection is slow. Try again.");
      if (failure instanceof SyntaxError) throw new LoadError("unreadable", "The answer could not be read.", "It is not the JSON that was expected. Try again; if it stays, tell whoever runs this page.");
      throw new LoadError("network", "The server could not be reached.", "Check the connection, then try again.");
    } finally {
      clearTimeout(timer);
    }
  }

  #address(from) {
    let url = null;
    try {
      url = from.trim() ? new URL(from, document.baseURI) : null;
    } catch {
      // Reported below with the other addresses that cannot be fetched.
    }
    if (url && /^https?:$/.test(url.protocol)) return url;
    throw new LoadError("address", "This box has no address to read from.", "Its src should be the address of a post's meta JSON.");
  }

  #show(state, { data = null, error = null }) {
    this.#state = state;
    this.#data = data;
    this.#error = error;
    this.#render();
    this.#status.textContent = {
      loading: "Loading details.",
      ready: "Details loaded.",
      empty: "There are no details to show.",
      error: error ? `Details could not be loaded. ${error.message}` : "",
    }[this.#state];
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  #render() {
    const hadFocus = this.#box.contains(this.#root.activeElement);
    const open = this.#root.querySelector("details")?.open;
    const content = this.#content();
    this.#box.setAttribute("aria-busy", String(this.#state === "loading"));
    this.#box.replaceChildren(this.#heading(0, TITLE, { id: "title", class: "title", part: "heading" }), ...content);
    const details = this.#root.querySelector("details");
    if (details && open) details.open = true;
    // The control that had the focus is gone; keep the reader's place.
    if (hadFocus) this.#box.focus();
  }

  #content() {
    if (this.#state === "loading") return [skeleton()];
    if (this.#state === "error") return [this.#failure(this.#error)];
    if (!this.#data) return [];
    const content = this.#sections(this.#data);
    this.#state = content.some((node) => !node.matches(".review")) ? "ready" : "empty";
    if (this.#state === "empty") {
      content.push(make("div", { part: "section" }, make("p", { class: "muted" }, "Nothing is recorded about this note yet.")));
    }
    return content;
  }

  #failure(error) {
    const retry = make("button", { part: "retry", type: "button" }, "Try again");
    retry.addEventListener("click", () => this.reload());
    return make(
      "div",
      { part: "error" },
      icon("alert"),
      make("p", {}, error.message),
      error.hint ? make("p", {}, error.hint) : null,
      error.kind === "address" ? null : retry,
    );
  }

  #sections(meta) {
    return [
      this.#review(meta),
      this.#summary(meta),
      this.#facts(meta),
      this.#checklist(meta),
      this.#section("AI brief", make("p", { class: "text cap" }, asText(meta.ai_brief))),
      this.#outline(meta),
      this.#section("Owner, result and rollback", facts([
        ["Owner", asText(meta.owner)],
        ["Expected result", asText(meta.expected_result)],
        ["Rollback note", asText(meta.rollback_note)],
      ])),
      this.#scores(meta),
      this.#chips("Stack", meta.stack),
      this.#chips("Tools", meta.tools),
      this.#entities(meta),
      this.#flags(meta),
      this.#images(meta),
      this.#machine(meta),
    ].filter(Boolean);
  }

  #review(meta) {
    if (!isObject(meta.review)) return null;
    const { reviewed, at, version, ai_involved: ai, review_by: until } = meta.review;
    const yes = reviewed === true;
    const when = yes ? this.#moment(at) : null;
    const name = yes ? asText(version) : "";
    const text = yes
      ? ["Exactly this content was approved", when ? " " : null, when, name ? ` as version ${name}` : null, "."]
      : ["No person has approved this content."];
    return make(
      "div",
      { part: "review", class: yes ? "review" : "review unreviewed" },
      icon(yes ? "check" : "alert"),
      make("p", {}, yes ? "Reviewed by a person" : "Not reviewed"),
      make("p", {}, text.filter(Boolean)),
      isTrue(ai) ? make("p", { part: "label" }, "AI was involved") : null,
      yes ? this.#until(until) : null,
    );
  }

  /** By when somebody vouches for it anew. Days are those of UTC on both sides, whatever the reader's clock shows. */
  #until(value) {
    if (!/^\d{4}-\d\d-\d\d$/.test(asText(value))) return null;
    const day = this.#day(value);
    if (!(day instanceof Node)) return null;
    const overdue = day.dateTime < new Date().toISOString().slice(0, 10);
    return overdue
      ? make("p", { class: "overdue" }, "Verification overdue: due by ", day)
      : make("p", { class: "muted" }, "Review by ", day);
  }

  #summary(meta) {
    const topic = asText(meta.topic);
    const summary = asText(meta.summary);
    if (!topic && !summary) return null;
    return make(
      "div",
      { part: "section" },
      summary ? make("p", { class: "lead cap" }, summary) : null,
      topic ? make("p", {}, make("span", { class: "muted" }, "Topic: "), topic) : null,
    );
  }

  #facts(meta) {
    const revision = asObject(meta.revision);
    const list = facts([
      ["Difficulty", asText(meta.difficulty), "cap"],
      ["Reading time", this.#minutes(meta.reading_time)],
      ["Code language", asText(meta.code_language)],
      ["Views", this.#number(meta.view_count)],
      ["Version", asText(revision.version)],
      ["Status", asText(revision.status), "cap"],
      ["Last reviewed", this.#day(revision.last_reviewed)],
    ], "wide");
    return list && make("div", { part: "section" }, list);
  }

  #outline(meta) {
    const points = asArray(meta.ai_outline).map((point) =>
      isObject(point) ? [asText(point.label), asText(point.text)] : ["", asText(point)],
    );
    const shown = points.filter(([label, text]) => label || text);
    if (!shown.length) return null;
    const list = make("dl", { part: "outline" }, shown.map(([label, text]) =>
      make("div", {}, make("dt", {}, label || "Point"), make("dd", { class: "cap" }, text)),
    ));
    return this.#section("AI outline", list);
  }

  #checklist(meta) {
    const items = texts(meta.checklist);
    if (!items.length) return null;
    const ticks = new Ticks(meta, items);
    const said = make("span", { role: "status" });
    const clear = make("button", { class: "quiet", type: "button" }, "Clear ticks");
    const boxes = items.map(() => make("input", { type: "checkbox" }));
    const update = () => {
      boxes.forEach((box, index) => (box.checked = ticks.has(index)));
      said.textContent = `${this.#number(ticks.count)} of ${this.#number(items.length)} done`;
      clear.hidden = ticks.count === 0;
    };
    const tick = (index, checked) => {
      ticks.set(index, checked);
      update();
      this.#emit("kb-tick", { index, item: items[index], checked, done: ticks.count, total: items.length });
    };
    boxes.forEach((box, index) => box.addEventListener("change", () => tick(index, box.checked)));
    clear.addEventListener("click", () => {
      boxes[0].focus();
      boxes.forEach((box, index) => box.checked && tick(index, false));
    });
    update();
    return this.#section(
      "Checklist",
      make("ul", { part: "checklist", role: "list" }, items.map((item, index) =>
        make("li", {}, make("label", { class: "tick" }, boxes[index], make("span", {}, item))),
      )),
      make("div", { part: "progress" }, said, clear),
      make("p", { class: "muted hint" }, ticks.kept ? "Ticks stay in this browser." : "Ticks are lost when you leave: this browser keeps no data for this page."),
    );
  }

  #scores(meta) {
    const meters = Object.entries(asObject(meta.score)).map(([name, value]) => this.#meter(humanise(name), value));
    const shown = meters.filter(Boolean);
    return shown.length ? this.#section("Scores", make("div", { class: "meters" }, shown)) : null;
  }

  #meter(name, value) {
    const number = asNumber(value);
    const label = make("span", { class: "cap" }, name);
    if (number === null) {
      const text = asText(value);
      return text ? make("div", { part: "meter" }, label, make("span", { class: "value" }, text)) : null;
    }
    const said = `${this.#number(number)} of 100`;
    const share = Math.min(100, Math.max(0, number));
    const fill = make("span");
    fill.style.inlineSize = `${share}%`;
    const bar = make("div", {
      part: "bar",
      role: "meter",
      "aria-label": name,
      "aria-valuemin": "0",
      "aria-valuemax": "100",
      "aria-valuenow": String(share),
      "aria-valuetext": said,
    }, fill);
    return make("div", { part: "meter" }, label, make("span", { class: "value" }, said), bar);
  }

  #chips(title, value) {
    const items = texts(value);
    return items.length ? this.#section(title, chips(items)) : null;
  }

  #entities(meta) {
    const groups = new Map();
    for (const entity of asArray(meta.entities)) {
      const name = asText(isObject(entity) ? entity.name : entity);
      const type = (isObject(entity) && asText(entity.type)) || "other";
      if (name) groups.set(type, [...(groups.get(type) ?? []), name]);
    }
    if (!groups.size) return null;
    return this.#section("Entities", [...groups].map(([type, names]) =>
      make("div", { class: "group" }, make("p", { class: "muted cap" }, type), chips(names)),
    ));
  }

  #flags(meta) {
    const flags = Object.entries(asObject(meta.flags));
    const named = (wanted) => flags.filter(([, value]) => isTrue(value) === wanted).map(([name]) => name);
    const raised = named(true);
    if (!raised.length) return null;
    const label = (name) =>
      make("li", { part: "label", class: `cap label${name === "needs_human_review" ? " warn" : ""}` }, flagName(name));
    const others = named(false).map(flagName).join(", ");
    return this.#section(
      "Flags from the source",
      make("ul", { class: "chips", role: "list" }, raised.map(label)),
      others ? make("p", { class: "muted" }, `Not raised: ${others}.`) : null,
    );
  }

  #images(meta) {
    const images = asArray(meta.image_sources).map((image) => this.#image(image)).filter(Boolean);
    return images.length ? this.#section(images.length > 1 ? "Images" : "Image", make("div", { class: "figures" }, images)) : null;
  }

  #image(image) {
    const { url: address, caption, source } = isObject(image) ? image : { url: image };
    const url = webAddress(address);
    const credit = asText(source);
    const said = asText(caption);
    // An address that may not be linked is still what the source says: show it as text.
    const place = url ? linkTo(url) : asText(address);
    if (!place && !credit && !said) return null;
    const origin = make("p", { class: "muted" }, credit ? `Source: ${credit}` : "Source: ", credit && place ? ", " : null, place);
    const figure = make("figure", { part: "figure" },
      make("figcaption", {}, said ? make("p", { class: "cap" }, said) : null, credit || place ? origin : null));
    if (url && this.getAttribute("images") !== "link") figure.prepend(picture(url));
    return figure;
  }

  #machine(meta) {
    const review = asObject(meta.review);
    const payload = facts(Object.entries(asObject(meta.payload)).map(([key, value]) => [humanise(key), asText(value)]));
    const notes = texts(meta.notes);
    const record = facts([
      ["Reference", asText(meta.reference), "mono"],
      ["Source hash", asText(meta.hash), "mono"],
      ["Fingerprint", asText(review.fingerprint), "mono"],
    ]);
    const inside = [
      record && make("div", {}, record),
      payload && make("div", {}, this.#heading(1, "Payload"), payload),
      notes.length && make("div", {}, this.#heading(1, "Notes"),
        make("ul", { class: "notes", role: "list" }, notes.map((note) => make("li", { class: "cap" }, note)))),
    ].filter(Boolean);
    if (!inside.length) return null;
    return make("details", { part: "details" }, make("summary", {}, "Record and source"), make("div", { class: "inside" }, inside));
  }

  #section(title, ...children) {
    const shown = children.flat().filter((child) => child instanceof Node);
    if (!shown.some((child) => child.textContent)) return null;
    return make("div", { part: "section" }, this.#heading(1, title, { part: "section-heading" }), shown);
  }

  #heading(below, text, options = {}) {
    const level = Math.trunc(asNumber(this.getAttribute("heading-level")) ?? 2);
    return make(`h${Math.min(5, Math.max(1, level)) + below}`, options, text);
  }

  /* Numbers and dates in the page's language. */

  #intl(Format, options) {
    const language = this.closest("[lang]")?.lang || undefined;
    try {
      return new Format(language, options);
    } catch {
      return new Format(undefined, options);
    }
  }

  #number(value) {
    const number = asNumber(value);
    return number === null ? asText(value) : this.#intl(Intl.NumberFormat).format(number);
  }

  #minutes(value) {
    const number = asNumber(value);
    if (number === null) return asText(value);
    return this.#intl(Intl.NumberFormat, { style: "unit", unit: "minute", unitDisplay: "long" }).format(number);
  }

  #day(value) {
    const text = asText(value);
    const date = new Date(text);
    if (!text || Number.isNaN(date.getTime())) return text;
    // A bare date is a day in the calendar, not a moment: no time zone may shift it.
    const zone = /^\d{4}-\d\d-\d\d$/.test(text) ? "UTC" : undefined;
    return make("time", { datetime: text }, this.#intl(Intl.DateTimeFormat, { dateStyle: "long", timeZone: zone }).format(date));
  }

  #moment(value) {
    const text = asText(value);
    const date = new Date(text);
    if (!text || Number.isNaN(date.getTime())) return null;
    const full = this.#intl(Intl.DateTimeFormat, { dateStyle: "long", timeStyle: "long" }).format(date);
    return make("time", { datetime: text, title: full }, this.#ago(date));
  }

  #ago(date) {
    const seconds = (date.getTime() - Date.now()) / 1000;
    // A clock that runs behind must not promise the future.
    const past = Math.min(0, seconds);
    const steps = [["year", 31_557_600], ["month", 2_629_800], ["day", 86_400], ["hour", 3600], ["minute", 60]];
    const [unit, length] = steps.find(([, size]) => -past >= size) ?? ["second", 1];
    return this.#intl(Intl.RelativeTimeFormat, { numeric: "auto" }).format(Math.ceil(past / length), unit);
  }

  #beforePrint = () => {
    this.#openForPrint = [...this.#root.querySelectorAll("details:not([open])")];
    for (const details of this.#openForPrint) details.open = true;
  };

  #afterPrint = () => {
    for (const details of this.#openForPrint) details.open = false;
  };
}

/** Which items of one approved text are ticked, kept in this browser; a new text starts without ticks. */
class Ticks {
  constructor(meta, items) {
    const content = asText(asObject(meta.review).fingerprint) || asText(meta.hash) || items.join("\n");
    this.key = `kb-ticks:${asText(meta.slug)}:${content}`;
    this.total = items.length;
    this.kept = true;
    this.ticked = new Set();
    this.read();
  }

  get count() {
    return this.ticked.size;
  }

  has(index) {
    return this.ticked.has(index);
  }

  set(index, checked) {
    this.read();
    if (checked) this.ticked.add(index);
    else this.ticked.delete(index);
    try {
      if (this.ticked.size) localStorage.setItem(this.key, JSON.stringify([...this.ticked]));
      else localStorage.removeItem(this.key);
    } catch {
      this.kept = false;
    }
  }

  /** Another tab may have ticked since: what is stored wins over what is remembered, as long as storing works. */
  read() {
    if (!this.kept) return;
    try {
      const stored = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      const fits = (index) => Number.isInteger(index) && index >= 0 && index < this.total;
      this.ticked = new Set(Array.isArray(stored) ? stored.filter(fits) : []);
    } catch (failure) {
      // What is stored but not JSON is overwritten by the next tick; storage that is blocked stays blocked.
      if (!(failure instanceof SyntaxError)) this.kept = false;
    }
  }
}

function refusal(answer) {
  const { status } = answer;
  const request = answer.headers.get("X-Request-ID");
  const named = request ? ` Request ${request.slice(0, 64)}.` : "";
  const fail = (kind, message, hint) => new LoadError(kind, message, hint + named, status);
  if (status === 401 || status === 403) return fail("signin", "You need to sign in to see this.", "Sign in, then try again.");
  if (status === 404) return fail("missing", "There is nothing published here.", "The note may have been withdrawn or renamed.");
  if (status === 429) return fail("busy", "Too many requests.", waitFor(answer.headers.get("Retry-After")));
  if (status >= 500) return fail("server", `The server had a problem (${status}).`, "Try again in a moment.");
  return fail("refused", `The server refused the request (${status}).`, "Try again; if it stays, tell whoever runs this page.");
}

function waitFor(seconds) {
  return /^\d{1,5}$/.test(seconds ?? "") ? `Wait ${seconds} seconds, then try again.` : "Wait a moment, then try again.";
}

function flagName(name) {
  return humanise(name).replace(/\bai\b/i, "AI").replace("AI generated", "AI-generated");
}

function picture(url) {
  const image = make("img", { part: "image", alt: "", loading: "lazy", decoding: "async", referrerpolicy: "no-referrer" });
  // Removed when it fails or the page's policy forbids it: caption, credit and link stay.
  image.addEventListener("error", () => image.remove());
  image.src = url.href;
  return image;
}

function skeleton() {
  return make("div", { part: "skeleton", "aria-hidden": "true" }, Array.from({ length: 9 }, () => make("span")));
}

if (!customElements.get("kb-meta-box")) customElements.define("kb-meta-box", KbMetaBox);
