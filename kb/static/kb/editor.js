// Turn the post form into a desk to write at: a Markdown toolbar, a preview that the server renders, problems as
// they arise, and a private copy of what is typed. Without this script the form saves, previews and checks all the same.

import { dress } from "./editor-toolbar.js";
import { keeper } from "./editor-keeper.js";
import { checker } from "./editor-checker.js";

const form = document.getElementById("post_form");
const desk = document.getElementById("kb-desk");
const body = document.getElementById("id_body");

if (form && desk && body) {
  const part = (selector) => desk.querySelector(selector);
  const toolbar = part(".kb-toolbar");
  const fold = part(".kb-fold-preview");
  const preview = part(".kb-live-preview");

  // The text and its preview stand beside each other in the text's row.
  const row = body.closest(".form-row");
  const pair = document.createElement("div");
  pair.className = "kb-pair";
  const write = document.createElement("div");
  write.className = "kb-write";
  body.closest(".flex-container").append(pair);
  write.append(toolbar, body);
  pair.append(write, fold, preview, part(".kb-checked"));
  row.classList.add("kb-desk-row");

  fold.addEventListener("click", () => {
    const open = fold.getAttribute("aria-expanded") !== "true";
    fold.setAttribute("aria-expanded", String(open));
    preview.classList.toggle("kb-open", open);
  });

  const format = document.getElementById("id_body_format");
  const show = () => { toolbar.hidden = format?.value === "html"; };
  format?.addEventListener("change", show);
  show();

  for (const [name, id] of [["minutes", "id_reading_time"], ["version", "id_version"]]) {
    document.getElementById(id)?.closest(".flex-container").after(part(`[data-live="${name}"]`));
  }

  dress(toolbar, body);
  const check = checker(form, desk.dataset);
  const keep = keeper(form, desk.dataset);
  const typed = () => { check.soon(); keep.soon(); };
  for (const event of ["input", "change", "formset:added", "formset:removed"]) form.addEventListener(event, typed);
  // Choosing an entity is an event of Django's jQuery alone.
  window.django?.jQuery?.(form).on("change", "select", typed);
  check.now();
}
