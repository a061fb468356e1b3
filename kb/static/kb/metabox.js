/** <kb-meta-box src>: metabox.d.ts is the reference, /embed/ shows it. Whatever the JSON holds is put in as text. */

const STYLE = `
:host {
  --_paper: var(--kb-paper, Canvas);
  --_ink: var(--kb-ink, CanvasText);
  --_surface: var(--kb-surface, color-mix(in srgb, var(--_ink) 4%, var(--_paper)));
  --_line: var(--kb-line, color-mix(in srgb, var(--_ink) 16%, var(--_paper)));
  --_edge: var(--kb-edge, color-mix(in srgb, var(--_ink) 55%, var(--_paper)));
  --_muted: var(--kb-muted, color-mix(in srgb, var(--_ink) 70%, var(--_paper)));
  --_accent: var(--kb-accent, light-dark(#0b6b4d, #56c79f));
  --_info: var(--kb-info, light-dark(#1b5fa6, #84bbf3));
  --_warn: var(--kb-warn, light-dark(#875300, #e2b04a));
  --_danger: var(--kb-danger, light-dark(#b42318, #f48b80));
  --_radius: var(--kb-radius, 6px);
  --_gap: var(--kb-gap, 16px);
  --_state: var(--_accent);
  display: block;
  position: relative;
  container-type: inline-size;
  color: var(--_ink);
  font: 400 var(--kb-size, 14px)/1.5 var(--kb-font, system-ui, sans-serif);
  text-align: left;
  overflow-wrap: anywhere;
}
:host(:dir(rtl)) { text-align: right; }
:host([hidden]) { display: none; }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
* { box-sizing: border-box; margin: 0; padding: 0; font-size: 1em; list-style: none; }
.box { min-block-size: var(--kb-reserve, 0); background: var(--_paper); border: 1px solid var(--_line);
  border-radius: var(--_radius); overflow: clip; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
.box:focus { outline: none; }
.title { font-size: 1.15em; padding: 12px var(--_gap); }
p, li, dd, span { max-inline-size: 72ch; unicode-bidi: plaintext; }
a { color: var(--_accent); text-underline-offset: 2px; }
.muted, dt { color: var(--_muted); }
.mono, .outline dt, .chip, .label { font-size: .86em; }
.mono { font-family: var(--kb-mono, ui-monospace, monospace); }
.lead { font-size: 1.15em; }
.title ~ * { border-block-start: 1px solid var(--_line); }
.section, .inside, .meters, .outline, .figures, .notes { display: grid; gap: 8px 24px;
  grid-template-columns: minmax(0, 1fr); }
.section, .skeleton { padding: var(--_gap); }
.box:not([aria-busy="true"]) + .status { inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); }
.status { position: absolute; inset-block-start: 12px; inset-inline-end: var(--_gap); color: var(--_muted); }
.info { --_state: var(--_info); }
.warn { --_state: var(--_warn); }
.error { --_state: var(--_danger); }
.review, .error, .label { background: color-mix(in srgb, var(--_state) 10%, var(--_paper)); }
.review, .error { display: grid; grid-template-columns: 1.4em minmax(0, 1fr); gap: 4px 8px; padding: 12px var(--_gap); }
.mark { line-height: 1.4; border-radius: 50%; background: var(--_state); color: var(--_paper); text-align: center; }
.mark ~ * { grid-column: 2; justify-self: start; }
.overdue { color: var(--_danger); }
.mark, .mark + *, .overdue, summary, button { font-weight: 600; }
time[title] { text-decoration: underline dotted 1px; text-underline-offset: 3px; }
.chips { display: flex; flex-wrap: wrap; gap: 4px; }
.chip, .label { padding: 1px 8px; border: 1px solid var(--_line); border-radius: var(--_radius); max-inline-size: 100%; }
.chip { background: var(--_surface); }
.label { color: var(--_state); border-color: currentcolor; }
.facts { display: grid; grid-template-columns: minmax(96px, auto) minmax(50%, 1fr); gap: 4px 16px; }
.facts > div { display: contents; }
.facts, .meter { font-variant-numeric: tabular-nums; }
dt::first-letter, .cap::first-letter { text-transform: uppercase; }
.meter { display: grid; grid-template-columns: 1fr auto; gap: 4px 8px; }
.bar { grid-column: 1 / -1; block-size: 6px; border-radius: 3px; background: var(--_line); overflow: hidden; }
.bar > span { display: block; block-size: 100%; background: var(--_accent); }
.tick { display: grid; grid-template-columns: 24px 1fr; align-items: start; min-block-size: 28px; padding-block: 4px;
  cursor: pointer; }
.tick input { inline-size: 16px; block-size: 16px; margin-block-start: 2px; accent-color: var(--_accent); }
.tick input:checked + span { color: var(--_muted); text-decoration: line-through; }
.progress { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; min-block-size: 28px; }
.image { display: block; inline-size: 100%; aspect-ratio: 3 / 2; object-fit: cover; margin-block-end: 8px;
  border-radius: var(--_radius); }
.notes li { padding-inline-start: 12px; border-inline-start: 2px solid var(--_line); }
summary { padding: 12px var(--_gap); cursor: pointer; list-style: revert; }
summary:focus-visible { outline-offset: -2px; }
.inside { padding: 0 var(--_gap) var(--_gap); gap: var(--_gap); }
button { min-block-size: 32px; padding: 4px 12px; font-family: inherit; color: var(--_ink); background: var(--_paper);
  border: 1px solid var(--_edge); border-radius: var(--_radius); cursor: pointer; }
button:hover { background: var(--_surface); }
.skeleton { min-block-size: 360px;
  background: repeating-linear-gradient(var(--_line) 0 12px, transparent 12px 24px) content-box; }
@media (prefers-reduced-motion: no-preference) {
  .skeleton { animation: breathe 1.6s ease-in-out infinite alternate; }
  @keyframes breathe { to { opacity: .25; } }
}
@container (min-width: 560px) {
  .meters, .figures, .outline { grid-template-columns: 1fr 1fr; }
  .wide { grid-template-columns: auto 1fr auto 1fr; }
}
@media (prefers-contrast: more) {
  :host { --_muted: var(--_ink); --_line: var(--_edge); }
}
@media (forced-colors: active) {
  .bar { border: 1px solid; }
  .bar > span { background: CanvasText; forced-color-adjust: none; }
}
@media print {
  :host { color-scheme: light !important; }
  button, .hint { display: none; }
  time[title]::after { content: " (" attr(title) ")"; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .figure, .tick, .meter { break-inside: avoid; }
}
`;

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);

const TIMEOUT_MS = 10_000;
const SLOW_MS = 3000;
const RETRIES = 2;
// After a longer pause the reader asks.
const LONGEST_WAIT_MS = 10_000;
const TRANSIENT = [429, 502, 503, 504];
const DAY = /^\d{4}-\d\d-\d\d$/;
const KINDS = { 401: "signin", 403: "signin", 404: "missing", 410: "missing", 429: "busy" };
const WORDS = {
  address: ["This box has no address to read from.", "Its src should be the address of a post’s meta JSON."],
  signin: ["You need to sign in to see this.", "Sign in, then try again."],
  missing: ["There is nothing published here.", "The note may have been withdrawn or renamed."],
  busy: ["Too many requests.", "Wait a moment, then try again."],
  server: ["The server had a problem.", "Try again in a moment."],
  refused: ["The server refused the request.", "If it stays, tell whoever runs this page."],
  unreadable: ["The answer could not be read.", "If it stays, tell whoever runs this page."],
  timeout: ["The server took too long to answer.", "Try again in a moment."],
  network: ["The server could not be reached.", "Check the connection, then try again."],
};

class LoadError extends Error {
  constructor(kind, more) {
    const [message, hint] = WORDS[kind];
    super(message);
    Object.assign(this, { kind, hint, status: 0, retryAfter: null }, more);
  }
}

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const asObject = (value) => (isObject(value) ? value : {});
const asArray = (value) => (Array.isArray(value) ? value : asText(value) ? [value] : []);
const humanise = (key) => String(key).replaceAll("_", " ");

function asText(value) {
  if (typeof value === "string") return value.trim();
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  const parts = Array.isArray(value)
    ? value.map(asText)
    : Object.entries(value ?? {}).map(([key, item]) => [humanise(key), asText(item)].join(": "));
  return parts.filter(Boolean).join(", ");
}

const texts = (value) => asArray(value).map(asText).filter(Boolean);

function asNumber(value) {
  const number = typeof value === "string" && value.trim() ? Number(value) : value;
  return typeof number === "number" && Number.isFinite(number) ? number : null;
}

/** Source systems write true as 1. */
const isTrue = (value) => value === true || value === 1 || value === "1";

function webAddress(value, base) {
  const text = asText(value);
  const url = URL.canParse(text, base) ? new URL(text, base) : null;
  return url && /^https?:$/.test(url.protocol) && !url.username && !url.password ? url : null;
}

function make(tag, { part, class: name = part, ...rest } = {}, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  if (part) element.setAttribute("part", part);
  for (const [key, value] of Object.entries(rest)) element.setAttribute(key, value);
  element.append(...children.flat().filter((child) => child !== null && child !== ""));
  return element;
}

const mark = (sign) => make("span", { class: "mark", "aria-hidden": "true" }, sign);
const muted = (...children) => make("p", { class: "muted" }, ...children);
const list = (part, items) => make("ul", { part, role: "list" }, items);
const chips = (items) => list("chips", items.map((item) => make("li", { part: "chip" }, item)));

function facts(pairs, extra = "") {
  const shown = pairs.filter(([, value]) => value);
  if (!shown.length) return null;
  return make(
    "dl",
    { part: "facts", class: `facts ${extra}` },
    shown.map(([name, value, style]) => make("div", {}, make("dt", {}, name), make("dd", { class: style }, value))),
  );
}

export class KbMetaBox extends HTMLElement {
  static observedAttributes = ["src", "images", "heading-level", "lang"];

  fetchInit = this.fetchInit ?? null;

  #root = this.attachShadow({ mode: "open" });
  #states = this.attachInternals().states;
  #box = make("section", { part: "box", "aria-labelledby": "title", tabindex: "-1" });
  #said = make("p", { part: "status", role: "status" });
  #controller = new AbortController();
  #state = "idle";
  #data = null;
  #error = null;
  #source = null; // src of the data
  #isPlaced = false;

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.append(this.#box, this.#said);
    this.#states.add(this.#state);
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

  set data(value) {
    this.#give(value, "data");
  }

  get state() {
    return this.#state;
  }

  get error() {
    return this.#error;
  }

  connectedCallback() {
    this.#isPlaced = true;
    for (const name of ["src", "data"]) {
      if (!Object.hasOwn(this, name)) continue;
      // Set before this file arrived, it hides the accessor.
      const early = this[name];
      delete this[name];
      this[name] = early;
    }
    if (this.#source !== null && this.#source !== this.src) this.#data = null;
    this.#render();
    if (this.#data) return;
    // A parser still at work may not have come to the JSON within.
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", this.#start, { once: true });
    else this.#start();
  }

  disconnectedCallback() {
    this.#isPlaced = false;
    this.#controller.abort();
  }

  attributeChangedCallback(name, before, after) {
    if (!this.#isPlaced || before === after) return;
    if (name !== "src") return this.#render();
    this.#data = null;
    this.reload();
  }

  async reload() {
    this.#controller.abort();
    const { signal } = (this.#controller = new AbortController());
    const { src } = this;
    const slow = setTimeout(() => this.#say("Still loading."), SLOW_MS);
    this.#show("loading", this.#data);
    try {
      const data = await this.#ask(src, signal);
      if (signal.aborted) return;
      this.#source = src;
      this.#take(data, "src");
    } catch (failure) {
      if (!signal.aborted) this.#fail(failure);
    } finally {
      clearTimeout(slow);
    }
  }

  #start = () => {
    if (!this.#isPlaced) return;
    const inline = this.#state === "idle" && this.querySelector(":scope > script[type='application/json']");
    if (inline) this.#give(inline.textContent, "inline");
    else if (this.hasAttribute("src")) this.reload();
  };

  #give(data, from) {
    this.#controller.abort();
    this.#source = null;
    if (data === null) return this.#show("idle");
    try {
      this.#take(from === "inline" ? JSON.parse(data) : data, from);
    } catch {
      this.#fail(new LoadError("unreadable"));
    }
  }

  #take(data, from) {
    if (!isObject(data)) throw new LoadError("unreadable");
    this.#show("ready", data);
    this.#emit("kb-load", { data, from });
  }

  async #ask(src, signal) {
    const url = src.trim() ? webAddress(src, document.baseURI) : null;
    if (!url) throw new LoadError("address");
    const most = Math.min(5, this.#setting("retries", RETRIES));
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#fetch(url, attempt, signal);
      } catch (error) {
        const delay = pause(error.retryAfter, attempt);
        if (signal.aborted || !error.retry || attempt > most || delay > LONGEST_WAIT_MS) throw error;
        this.#emit("kb-retry", { message: error.message, ...error, attempt, delay });
        this.#say(`${error.message} Trying again.`);
        await new Promise((done) => setTimeout(done, delay));
      }
    }
  }

  async #fetch(url, attempt, outer) {
    const { fetchInit } = this;
    const signal = AbortSignal.any([outer, AbortSignal.timeout(this.#setting("timeout-ms", TIMEOUT_MS))]);
    try {
      const given = typeof fetchInit === "function" ? await fetchInit(url, { attempt, signal }) : fetchInit;
      const headers = new Headers(given?.headers);
      headers.set("Accept", "application/json");
      const answer = await fetch(url, { credentials: "same-origin", cache: "no-cache", ...given, headers, signal });
      if (!answer.ok) throw await refusal(answer);
      return await answer.json();
    } catch (cause) {
      if (cause instanceof LoadError) throw cause;
      if (cause instanceof SyntaxError) throw new LoadError("unreadable");
      throw cause.name === "TimeoutError" ? new LoadError("timeout") : new LoadError("network", { retry: true, cause });
    }
  }

  #setting(name, standard) {
    return Math.max(0, asNumber(this.getAttribute(name)) ?? standard);
  }

  #show(state, data = null, error = null) {
    const isNew = state !== "loading" || !data;
    this.#state = state;
    this.#data = data;
    this.#error = error;
    if (isNew) this.#render();
    this.#box.setAttribute("aria-busy", String(state === "loading"));
    this.#states.clear();
    this.#states.add(this.#state);
    // Only who was kept waiting is told.
    const waited = state === "ready" && this.#said.textContent;
    this.#say(error ? `Details could not be loaded. ${error.message}` : waited ? "Details loaded." : "");
  }

  #say(text) {
    this.#said.textContent = text;
  }

  #fail(failure) {
    const error = failure instanceof LoadError ? failure : new LoadError("unreadable");
    this.#show("error", null, error);
    this.#emit("kb-error", { message: error.message, ...error });
  }

  #emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  #render() {
    const hadFocus = this.#box.contains(this.#root.activeElement);
    const content = this.#content();
    // Nothing below moves meanwhile.
    this.#box.style.minBlockSize = this.#state === "loading" ? `max(${this.#box.offsetHeight}px, var(--kb-reserve, 0px))` : "";
    this.#box.replaceChildren(this.#heading(0, "About this note", { id: "title", class: "title", part: "heading" }), ...content);
    if (hadFocus) this.#box.focus();
  }

  #content() {
    if (this.#error) return [this.#failure(this.#error)];
    if (!this.#data) return [make("div", { part: "skeleton" })];
    const content = this.#sections(this.#data);
    if (content.some((node) => !node.matches(".review"))) return content;
    this.#state = "empty";
    return [...content, this.#section("empty", "", muted("Nothing is recorded about this note yet."))];
  }

  #failure({ kind, message, hint }) {
    const retry = make("button", { part: "retry", type: "button" }, "Try again");
    retry.onclick = () => {
      this.reload();
      this.#say("Trying again.");
    };
    return make(
      "div",
      { part: "error" },
      mark("!"),
      make("p", {}, message),
      make("p", {}, hint),
      make("slot", { name: "error" }),
      kind === "address" ? null : retry,
    );
  }

  #sections(meta) {
    return [
      this.#review(meta),
      this.#summary(meta),
      this.#facts(meta),
      this.#checklist(meta),
      this.#section("brief", "AI brief", make("p", { class: "cap" }, asText(meta.ai_brief))),
      this.#outline(meta),
      this.#section("care", "Owner, result and rollback", facts([
        ["Owner", asText(meta.owner)],
        ["Expected result", asText(meta.expected_result)],
        ["Rollback note", asText(meta.rollback_note)],
      ])),
      this.#scores(meta),
      this.#section("stack", "Stack", chips(texts(meta.stack))),
      this.#section("tools", "Tools", chips(texts(meta.tools))),
      this.#entities(meta),
      this.#flags(meta),
      this.#images(meta),
      this.#record(meta),
    ].filter(Boolean);
  }

  #review({ review }) {
    if (!isObject(review)) return null;
    const yes = review.reviewed === true;
    const at = this.#time(review.at);
    const version = asText(review.version);
    const text = yes
      ? ["Exactly this content was approved", at && " ", at, version && ` as version ${version}`, "."]
      : ["No person has approved this content."];
    return make(
      "div",
      { part: "review", class: yes ? "review" : "review warn" },
      mark(yes ? "✓" : "!"),
      make("p", {}, yes ? "Reviewed by a person" : "Not reviewed"),
      make("p", {}, text),
      isTrue(review.ai_involved) ? make("p", { part: "label", class: "label info" }, "AI was involved") : null,
      yes ? this.#until(review.review_by) : null,
    );
  }

  #until(value) {
    const day = DAY.test(asText(value)) ? this.#time(value) : "";
    if (!day.dateTime) return null;
    const isOver = day.dateTime < new Date().toISOString().slice(0, 10);
    return isOver ? make("p", { class: "overdue" }, "Verification overdue: due by ", day) : muted("Review by ", day);
  }

  #summary(meta) {
    const topic = asText(meta.topic);
    return this.#section(
      "summary",
      "",
      make("p", { class: "lead cap" }, asText(meta.summary)),
      topic ? make("p", {}, make("span", { class: "muted" }, "Topic: "), topic) : null,
    );
  }

  #facts(meta) {
    const revision = asObject(meta.revision);
    return this.#section("facts", "", facts([
      ["Difficulty", asText(meta.difficulty), "cap"],
      ["Reading time", this.#number(meta.reading_time, { style: "unit", unit: "minute", unitDisplay: "long" })],
      ["Code language", asText(meta.code_language)],
      ["Views", this.#number(meta.view_count)],
      ["Version", asText(revision.version)],
      ["Status", asText(revision.status), "cap"],
      ["Last reviewed", this.#time(revision.last_reviewed)],
    ], "wide"));
  }

  #outline(meta) {
    const points = asArray(meta.ai_outline).map((point) =>
      isObject(point) ? [asText(point.label), asText(point.text)] : ["", asText(point)],
    );
    return this.#section("outline", "AI outline", make("dl", { part: "outline" }, points.map(([label, text]) =>
      label || text ? make("div", {}, make("dt", {}, label || "Point"), make("dd", { class: "cap" }, text)) : null,
    )));
  }

  #checklist(meta) {
    const items = texts(meta.checklist);
    if (!items.length) return null;
    const ticks = new Ticks(meta, items);
    const said = make("span", { role: "status" });
    const clear = make("button", { type: "button" }, "Clear ticks");
    const boxes = items.map(() => make("input", { type: "checkbox" }));
    const update = () => {
      boxes.forEach((box, index) => (box.checked = ticks.has(index)));
      said.textContent = `${this.#number(ticks.size)} of ${this.#number(items.length)} done`;
      clear.hidden = ticks.size === 0;
    };
    const tick = (index, checked) => {
      ticks.toggle(index, checked);
      update();
      this.#emit("kb-tick", { index, item: items[index], checked, done: ticks.size, total: items.length });
    };
    boxes.forEach((box, index) => (box.onchange = () => tick(index, box.checked)));
    clear.onclick = () => {
      boxes[0].focus();
      boxes.forEach((box, index) => box.checked && tick(index, false));
    };
    update();
    return this.#section(
      "checklist",
      "Checklist",
      list("checklist", items.map((item, index) =>
        make("li", {}, make("label", { class: "tick" }, boxes[index], make("span", {}, item))),
      )),
      make("div", { part: "progress" }, said, clear),
      make("p", { class: "muted hint" }, ticks.kept ? "Ticks stay in this browser." : "Ticks are lost when you leave."),
    );
  }

  #scores(meta) {
    const meters = Object.entries(asObject(meta.score)).map(([name, value]) => this.#meter(humanise(name), value));
    return this.#section("scores", "Scores", make("div", { class: "meters" }, meters));
  }

  #meter(name, value) {
    const number = asNumber(value);
    const said = number === null ? asText(value) : `${this.#number(number)} of 100`;
    if (!said) return null;
    const share = Math.min(100, Math.max(0, number));
    const fill = make("span");
    fill.style.inlineSize = `${share}%`;
    const bar = { part: "bar", role: "meter", "aria-label": name, "aria-valuenow": share, "aria-valuetext": said };
    return make(
      "div",
      { part: "meter" },
      make("span", { class: "cap" }, name),
      make("span", {}, said),
      number === null ? null : make("div", bar, fill),
    );
  }

  #entities(meta) {
    const groups = new Map();
    for (const entity of asArray(meta.entities)) {
      const name = asText(isObject(entity) ? entity.name : entity);
      const type = asText(entity?.type) || "other";
      if (name) groups.set(type, [...(groups.get(type) ?? []), name]);
    }
    return this.#section("entities", "Entities", [...groups].map(([type, names]) =>
      make("div", { class: "group" }, make("p", { class: "muted cap" }, type), chips(names)),
    ));
  }

  #flags(meta) {
    const flags = Object.entries(asObject(meta.flags));
    const named = (wanted) => flags.filter(([, value]) => isTrue(value) === wanted).map(([name]) => name);
    const raised = named(true);
    if (!raised.length) return null;
    const label = (name) =>
      make("li", { part: "label", class: `cap label ${name === "needs_human_review" ? "warn" : "info"}` }, flagName(name));
    const others = named(false).map(flagName).join(", ");
    return this.#section("flags", "Flags from the source", list("chips", raised.map(label)), others ? muted(`Not raised: ${others}.`) : null);
  }

  #images(meta) {
    const figures = asArray(meta.image_sources).map(this.#image, this).filter(Boolean);
    return this.#section("images", "Images", make("div", { class: "figures" }, figures));
  }

  #image(image) {
    const { url: address, caption, source } = isObject(image) ? image : { url: image };
    const url = webAddress(address);
    const credit = asText(source);
    const said = asText(caption);
    const place = url ? make("a", { href: url.href, rel: "noreferrer" }, url.host) : asText(address);
    if (!place && !credit && !said) return null;
    const origin = muted("Source: ", credit, credit && place ? ", " : "", place);
    const figure = make("figure", { part: "figure" },
      make("figcaption", {}, said ? make("p", { class: "cap" }, said) : null, credit || place ? origin : null));
    if (!url || this.getAttribute("images") === "link") return figure;
    const picture = make("img", { part: "image", alt: "", loading: "lazy", referrerpolicy: "no-referrer", src: url.href });
    // When it fails or a policy forbids it, the link stays.
    picture.onerror = () => picture.remove();
    figure.prepend(picture);
    return figure;
  }

  #record(meta) {
    const payload = facts(Object.entries(asObject(meta.payload)).map(([key, value]) => [humanise(key), asText(value)]));
    const notes = texts(meta.notes);
    const inside = [
      facts([
        ["Reference", asText(meta.reference), "mono"],
        ["Source hash", asText(meta.hash), "mono"],
        ["Fingerprint", asText(asObject(meta.review).fingerprint), "mono"],
      ]),
      payload && make("div", {}, this.#heading(1, "Payload"), payload),
      notes.length && make("div", {}, this.#heading(1, "Notes"), list("notes", notes.map((note) => make("li", { class: "cap" }, note)))),
    ].filter(Boolean);
    if (!inside.length) return null;
    return make("details", { part: "details" }, make("summary", {}, "Record and source"), make("div", { class: "inside" }, inside));
  }

  #section(name, title, ...children) {
    const shown = children.flat().filter((child) => child?.textContent);
    if (!shown.length) return null;
    return make("div", { part: `section ${name}`, class: "section" }, title ? this.#heading(1, title, { part: "section-heading" }) : null, shown);
  }

  #heading(below, text, options) {
    const level = Math.trunc(asNumber(this.getAttribute("heading-level")) ?? 2);
    return make(`h${Math.min(5, Math.max(1, level)) + below}`, options, text);
  }

  #intl(Format, options) {
    const language = this.closest("[lang]")?.lang || undefined;
    try {
      return new Format(language, options);
    } catch {
      return new Format(undefined, options);
    }
  }

  #number(value, options) {
    const number = asNumber(value);
    return number === null ? asText(value) : this.#intl(Intl.NumberFormat, options).format(number);
  }

  #time(value) {
    const text = asText(value);
    const date = new Date(text);
    if (!text || Number.isNaN(date.getTime())) return text;
    // A bare date is a day, not a moment: no time zone may shift it.
    const isDay = DAY.test(text);
    const more = isDay ? { timeZone: "UTC" } : { timeStyle: "long" };
    const full = this.#intl(Intl.DateTimeFormat, { dateStyle: "long", ...more }).format(date);
    if (isDay) return make("time", { datetime: text }, full);
    // A clock that runs behind must not promise the future.
    const past = Math.max(0, (Date.now() - date) / 1000);
    const steps = { year: 31557600, month: 2629800, day: 86400, hour: 3600, minute: 60, second: 1 };
    const [unit, size] = Object.entries(steps).find(([, size]) => past >= size || size < 2);
    const ago = this.#intl(Intl.RelativeTimeFormat, { numeric: "auto" }).format(-Math.floor(past / size), unit);
    return make("time", { datetime: text, title: full }, ago);
  }
}

/** Ticked items of one approved text. */
class Ticks extends Set {
  constructor(meta, items) {
    super();
    const content = asText(asObject(meta.review).fingerprint) || asText(meta.hash) || items.join("\n");
    this.key = `kb-ticks:${asText(meta.slug)}:${content}`;
    this.items = items;
    this.kept = true;
    this.read();
  }

  toggle(index, checked) {
    this.read();
    this[checked ? "add" : "delete"](index);
    try {
      if (this.size) localStorage.setItem(this.key, JSON.stringify([...this]));
      else localStorage.removeItem(this.key);
    } catch {
      this.kept = false;
    }
  }

  /** Another tab may have ticked since: what is stored wins. */
  read() {
    if (!this.kept) return;
    try {
      const stored = asArray(JSON.parse(localStorage.getItem(this.key)));
      this.clear();
      for (const index of this.items.keys()) if (stored.includes(index)) this.add(index);
    } catch (failure) {
      // Blocked storage stays blocked.
      this.kept = failure instanceof SyntaxError;
    }
  }
}

async function refusal(answer) {
  const { status, headers } = answer;
  const problem = await answer.json().catch(() => null);
  const requestId = asText(headers.get("X-Request-ID") ?? problem?.request_id);
  const retryAfter = secondsOf(headers.get("Retry-After"));
  const retry = typeof problem?.retry === "boolean" ? problem.retry : TRANSIENT.includes(status);
  const error = new LoadError(KINDS[status] ?? (status < 500 ? "refused" : "server"), { status, retry, retryAfter, requestId, problem });
  if (retryAfter) error.hint = `Wait ${retryAfter} seconds, then try again.`;
  error.hint += ` (${[status, requestId].filter(Boolean).join(", ")})`;
  return error;
}

/** Retry-After is seconds or a date. */
function secondsOf(text) {
  const seconds = asNumber(text) ?? (Date.parse(text) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? null : Math.max(0, Math.ceil(seconds));
}

function pause(wait, attempt) {
  if (wait !== null) return wait * 1000 + Math.random() * 500;
  return Math.min(8000, 500 * 2 ** attempt) * (0.5 + Math.random() / 2);
}

const flagName = (name) => humanise(name).replace(/\bai\b/, "AI");

if (!customElements.get("kb-meta-box")) customElements.define("kb-meta-box", KbMetaBox);
