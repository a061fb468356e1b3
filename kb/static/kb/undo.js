/* Count down how long an act can be undone; then the button goes, and says so. */

"use strict";

(() => {
  const form = document.querySelector("[data-kb-undo]");
  if (!form) return;
  const left = form.querySelector("[data-kb-undo-left]");
  const ends = Date.now() + 1000 * Number(form.dataset.kbUndo);
  // The number changes each second: a screen reader says it once, with the button.
  left.parentElement.setAttribute("aria-live", "off");

  const timer = setInterval(() => {
    const seconds = Math.ceil((ends - Date.now()) / 1000);
    left.textContent = String(Math.max(0, seconds));
    if (seconds > 0) return;
    clearInterval(timer);
    const over = document.createElement("p");
    over.className = "kb-undo kb-muted";
    over.textContent = "The time to undo is over.";
    const held = form.contains(document.activeElement);
    form.replaceWith(over);
    if (held) {
      over.tabIndex = -1;
      over.focus();
    }
  }, 250);
})();
