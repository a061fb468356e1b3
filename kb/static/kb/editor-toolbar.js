// Turn a button or a key into Markdown around the selection, so that the browser's own undo takes it back.

const WRAPS = { bold: ["**", "bold"], italic: ["*", "italic"], code: ["`", "code"] };
const KEYS = { b: "bold", i: "italic", k: "link" };
const LINES = {
  list: (line) => `- ${line.replace(/^(?:[-*+] |\d+[.)] )/, "")}`,
  numbers: (line, at) => `${at + 1}. ${line.replace(/^(?:[-*+] |\d+[.)] )/, "")}`,
  quote: (line) => `> ${line}`,
};

/** Give the toolbar its acts on this textarea, its keys, and one tab stop for all of its buttons. */
export function dress(toolbar, area) {
  const buttons = [...toolbar.querySelectorAll("button")];
  const focusOn = (button) => {
    for (const other of buttons) other.tabIndex = other === button ? 0 : -1;
  };
  focusOn(buttons[0]);
  toolbar.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    focusOn(button);
    act(area, button.dataset.mark);
  });
  toolbar.addEventListener("keydown", (event) => {
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (at < 0 || to === undefined) return;
    event.preventDefault();
    const button = buttons.at(to % buttons.length);
    focusOn(button);
    button.focus();
  });
  area.addEventListener("keydown", (event) => {
    const mark = KEYS[event.key.toLowerCase()];
    if (!mark || toolbar.hidden || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    act(area, mark);
  });
}

function act(area, mark) {
  if (WRAPS[mark]) wrap(area, ...WRAPS[mark]);
  else if (LINES[mark]) lines(area, LINES[mark]);
  else ({ link, heading, block, table })[mark](area);
}

/** Write over a stretch of the text and select a part of what was written. */
function write(area, from, to, text, selectFrom = text.length, selectTo = selectFrom) {
  area.focus();
  area.setSelectionRange(from, to);
  // Deprecated, and still the one way that keeps the undo history.
  if (!document.execCommand("insertText", false, text)) {
    area.setRangeText(text, from, to, "end");
    area.dispatchEvent(new InputEvent("input", { bubbles: true }));
  }
  area.setSelectionRange(from + selectFrom, from + selectTo);
}

function wrap(area, mark, placeholder) {
  const { selectionStart: from, selectionEnd: to, value } = area;
  const around = value.slice(from - mark.length, from) === mark && value.slice(to, to + mark.length) === mark;
  // Of "**bold**" one "*" is no italic to take away.
  if (around && !(mark === "*" && value.slice(from - 2, from) === "**")) {
    const inner = value.slice(from, to);
    write(area, from - mark.length, to + mark.length, inner, 0, inner.length);
    return;
  }
  const inner = value.slice(from, to) || placeholder;
  write(area, from, to, mark + inner + mark, mark.length, mark.length + inner.length);
}

function link(area) {
  const { selectionStart: from, selectionEnd: to, value } = area;
  const chosen = value.slice(from, to);
  if (/^https?:\/\/\S+$/.test(chosen)) {
    write(area, from, to, `[text](${chosen})`, 1, 5);
    return;
  }
  const text = chosen || "text";
  write(area, from, to, `[${text}](https://)`, text.length + 3, text.length + 11);
}

/** The whole lines that the selection touches. */
function touched(area) {
  const { selectionStart, selectionEnd, value } = area;
  const from = value.lastIndexOf("\n", selectionStart - 1) + 1;
  const end = value.indexOf("\n", selectionEnd);
  return [from, end < 0 ? value.length : end];
}

function lines(area, change) {
  const [from, to] = touched(area);
  const text = area.value.slice(from, to).split("\n").map(change).join("\n");
  write(area, from, to, text, text.includes("\n") ? 0 : text.length, text.length);
}

function heading(area) {
  const [from, to] = touched(area);
  const [, marks, text] = /^(#*)\s*(.*)$/s.exec(area.value.slice(from, to));
  const next = { 0: "## ", 2: "### ", 3: "#### " }[marks.length] ?? "";
  const line = next + (text || (next && "Heading"));
  write(area, from, to, line, next.length, line.length);
}

/** A block of its own: with an empty line before and after, where there is none. */
function apart(area, from, to, text) {
  const before = area.value.slice(0, from);
  const after = area.value.slice(to);
  const lead = !before || before.endsWith("\n\n") ? "" : "\n".repeat(before.endsWith("\n") ? 1 : 2);
  const tail = !after || after.startsWith("\n\n") ? "" : "\n".repeat(after.startsWith("\n") ? 1 : 2);
  return [lead, lead + text + tail];
}

function block(area) {
  const { selectionStart: from, selectionEnd: to, value } = area;
  const inner = value.slice(from, to).replace(/^\n+|\n+$/g, "") || "code";
  // A fence longer than any inside.
  const fence = "`".repeat(Math.max(3, ...[...inner.matchAll(/`+/g)].map(([found]) => found.length + 1)));
  const [lead, text] = apart(area, from, to, `${fence}\n${inner}\n${fence}`);
  const start = lead.length + fence.length + 1;
  write(area, from, to, text, start, start + inner.length);
}

function table(area) {
  const { selectionStart: from, selectionEnd: to, value } = area;
  const first = value.slice(from, to).replace(/\s+/g, " ").replace(/\|/g, "\\|").trim() || "Name";
  const [lead, text] = apart(area, from, to, `| ${first} | Meaning |\n| --- | --- |\n|  |  |`);
  write(area, from, to, text, lead.length + 2, lead.length + 2 + first.length);
}
