/* The review page by keyboard: jump between changes and flags, open the form of each act, and comment on what is
   selected. Every act is a form of the page and works without this script; no key decides anything by itself. */

"use strict";

(() => {
  const byId = (id) => document.getElementById(id);

  // --- Where to go ---------------------------------------------------------------------------------------------
  function go(target, block) {
    if (!target) return;
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (!target.matches("a, button, input, select, textarea, summary")) target.tabIndex = -1;
    target.focus({ preventScroll: true });
    target.scrollIntoView({ block: block ?? (target.offsetHeight > innerHeight / 2 ? "start" : "center") });
  }

  /** Step through what the selector finds, from the one that has the focus or was visited last. */
  function walk(selector) {
    let last = -1;
    return (step) => {
      const stops = [...document.querySelectorAll(selector)].filter((stop) => stop.getClientRects().length);
      if (!stops.length) return say("There is nothing of that kind on this page.");
      const held = stops.findLastIndex((stop) => stop.contains(document.activeElement));
      const from = held >= 0 ? held : last;
      last = Math.min(stops.length - 1, Math.max(0, from + step));
      go(stops[last]);
      return undefined;
    };
  }

  const said = document.createElement("p");
  said.className = "visually-hidden";
  said.setAttribute("role", "status");
  document.body.append(said);

  function say(sentence) {
    said.textContent = sentence;
  }

  // --- Evidence and remarks at their place ---------------------------------------------------------------------
  const MOST_MARKS = 100;

  /** The text node in which the words stand, but not in what is gone. */
  function textWith(words, field) {
    for (const place of document.querySelectorAll(`[data-field="${CSS.escape(field)}"], [data-field^="${CSS.escape(field)}."]`)) {
      const texts = document.createTreeWalker(place, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) {
        const text = texts.currentNode;
        const at = text.data.indexOf(words);
        if (at >= 0 && !text.parentElement.closest("del, mark, [data-kb-aside]")) return { text, at };
      }
    }
    return null;
  }

  /** Mark what a flag or remark speaks of, and lead its link there. */
  function mark(link, number) {
    // A secret is cut short where it is named: its beginning is enough to find it.
    const words = link.dataset.kbExcerpt.replace(/…$/, "").trim();
    const found = words.length > 1 ? textWith(words, link.dataset.kbIn) : null;
    if (!found) return;
    const range = document.createRange();
    range.setStart(found.text, found.at);
    range.setEnd(found.text, found.at + words.length);
    const marked = document.createElement("mark");
    marked.id = `place-${number}`;
    range.surroundContents(marked);
    link.hash = marked.id;
  }

  [...document.querySelectorAll("a[data-kb-excerpt]")].slice(0, MOST_MARKS).forEach(mark);

  // --- Comment on what is selected -----------------------------------------------------------------------------
  // What is gone, and what only points at the text.
  const ASIDE = "del, h4, summary, .kb-gone, .kb-n, .kb-mark, .kb-move, .kb-arrow, [data-kb-aside]";

  function selected() {
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    const common = range.commonAncestorContainer;
    const element = common.nodeType === Node.ELEMENT_NODE ? common : common.parentElement;
    const field = element.closest("[data-field]");
    if (!field) return null;
    const held = range.cloneContents();
    // What is gone is no passage of this revision.
    for (const gone of held.querySelectorAll(ASIDE)) gone.remove();
    return { field: field.dataset.field.split(".")[0], quote: held.textContent.trim() };
  }

  function comment() {
    const passage = selected();
    const form = byId("comment-form");
    if (!form) return;
    if (passage?.quote) {
      form.elements.field.value = passage.field;
      form.elements.quote.value = passage.quote.slice(0, form.elements.quote.maxLength);
    }
    go(form.elements.text);
  }

  // --- Claim ---------------------------------------------------------------------------------------------------
  const ALIVE_MS = 5 * 60 * 1000;

  /** While this person works here, the claim goes on. */
  function stayAlive(form) {
    let last = Date.now();
    const sign = () => {
      if (Date.now() - last < ALIVE_MS) return;
      last = Date.now();
      const token = form.elements.csrfmiddlewaretoken.value;
      fetch(form.dataset.kbTouch, { method: "POST", headers: { "X-CSRFToken": token } })
        .then((answer) => {
          if (answer.status === 409) say("You no longer hold this post: reload the page to see who does.");
        })
        .catch(() => {});
    };
    for (const kind of ["pointerdown", "keydown", "scroll"]) addEventListener(kind, sign, { passive: true });
  }

  function press() {
    const button = document.querySelector("[data-kb-claim]");
    if (button) button.click();
    else say("There is nothing to claim: this does not wait for a reviewer.");
  }

  const held = document.querySelector("[data-kb-touch]");
  if (held) stayAlive(held);

  // A link to an act's form opens it and puts the cursor there.
  for (const link of document.querySelectorAll(".kb-bar-acts a[href^='#']")) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      if (link.hash === "#add-comment") comment();
      else go(byId(link.hash.slice(1)));
    });
  }

  const refused = byId("refused");
  if (refused) go(refused, "nearest");

  // --- Keys ----------------------------------------------------------------------------------------------------
  if (!window.kbKeys) return;
  const changes = walk("[data-change]");
  const stops = walk("[data-kb-stop]");
  const queue = document.querySelector("[data-kb-queue]");
  const to = (id, otherwise) => () => (byId(id) ? go(byId(id)) : say(otherwise));

  window.kbKeys([
    { key: "n", what: "Next change", repeat: true, run: () => changes(1) },
    { key: "p", what: "Previous change", repeat: true, run: () => changes(-1) },
    { key: "j", what: "Next section or flag", repeat: true, run: () => stops(1) },
    { key: "k", what: "Previous section or flag", repeat: true, run: () => stops(-1) },
    {
      key: "a",
      what: "Go to “Approve and publish”; Enter presses it",
      run: to("do-approve", "This cannot be approved now: “Decide” says why."),
    },
    {
      key: "r",
      what: "Request changes: go to the comment",
      run: to("id_decide_comment", "There is nothing to decide now."),
    },
    { key: "c", what: "Comment, on what is selected", run: comment },
    {
      key: "x",
      what: "Claim it, release it, or take it over",
      run: press,
    },
    { key: "/", what: "Search the queue", run: () => queue && location.assign(queue.href) },
  ]);
})();
