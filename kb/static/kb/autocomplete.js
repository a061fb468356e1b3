// Give the boxes that Django's autocomplete puts in the place of fields the names of these fields.
"use strict";
{
  const $ = django.jQuery;

  function name(root) {
    for (const box of root.querySelectorAll(".admin-autocomplete + .select2")) {
      const [label] = box.previousElementSibling.labels;
      const value = box.querySelector(".select2-selection__rendered");
      label.id = `${label.htmlFor}-label`;
      value.setAttribute("aria-labelledby", label.id);
      box.querySelector(".select2-selection").setAttribute("aria-labelledby", `${label.id} ${value.id}`);
    }
  }

  // Both after Django's own, which makes the boxes.
  $(() => name(document));
  document.addEventListener("formset:added", (event) => name(event.target));
}
