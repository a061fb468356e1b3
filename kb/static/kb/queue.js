/* Let the desk's lists be worked by keyboard, and say how many rows are chosen. Nothing here is needed for an act. */

"use strict";

(() => {
  const links = [...document.querySelectorAll("[data-row] .kb-title")];
  const rowOf = (element) => element?.closest("[data-row]");
  const linkIn = (row) => row?.querySelector(".kb-title");

  function move(step) {
    const here = links.indexOf(linkIn(rowOf(document.activeElement)));
    const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : here + step;
    links[Math.min(Math.max(next, 0), links.length - 1)]?.focus();
  }

  const bindings = [
    { key: "j", what: "Next row", repeat: true, run: () => move(1) },
    { key: "k", what: "Row before", repeat: true, run: () => move(-1) },
    { key: "Enter", what: "Open the row’s post" },
  ];

  const bulk = document.getElementById("bulk");
  if (bulk) {
    bindings.push({
      key: "x",
      what: "Claim the row’s post",
      run: () => rowOf(document.activeElement)?.querySelector("[data-claim]")?.click(),
    });
    choosing(bulk);
  }

  const next = document.getElementById("take-next");
  if (next) bindings.push({ key: "t", what: "Take next", run: () => next.requestSubmit() });

  const filter = document.querySelector(".kb-filter");
  if (filter) {
    bindings.push({
      key: "/",
      what: "Filter",
      run() {
        filter.open = true;
        filter.querySelector("input").focus();
      },
    });
  }
  kbKeys(bindings);

  function choosing(form) {
    const boxes = [...form.querySelectorAll("[name=post]")];
    const all = form.querySelector("[data-all]");
    const said = form.querySelector("[data-chosen]");
    const count = () => {
      const chosen = boxes.filter((box) => box.checked).length;
      all.checked = chosen === boxes.length;
      all.indeterminate = chosen > 0 && !all.checked;
      said.textContent = chosen ? `(${chosen} chosen)` : "";
    };
    all.hidden = false;
    all.addEventListener("change", () => {
      for (const box of boxes) box.checked = all.checked;
      count();
    });
    form.addEventListener("change", count);
    count();
  }
})();
