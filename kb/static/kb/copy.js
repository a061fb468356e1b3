/* Buttons that copy a field: <button data-kb-copy="id of the field" hidden>. Without this script they stay hidden. */

"use strict";

for (const button of document.querySelectorAll("[data-kb-copy]")) {
  const field = document.getElementById(button.dataset.kbCopy);
  const said = button.parentElement.querySelector("[data-kb-copied]");
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      // Not there on plain http, and a person may forbid it.
      await navigator.clipboard.writeText(field.value);
      said.textContent = "Copied.";
    } catch {
      said.textContent = "Press Ctrl+C or Command+C to copy.";
    }
  });
}
