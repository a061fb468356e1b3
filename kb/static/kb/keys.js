/* Single keys for the pages of the review desk: kbKeys([{ key: "j", what: "Next row", run() {} }, ...]).

   A page may call it more than once; the last binding of a key wins. `key` is KeyboardEvent.key; `run` gets the
   event; a binding without it is only listed. With `repeat: true` it also runs while the key is held down. The key ? opens the help, which lists
   them all and switches them off for this browser (WCAG 2.1.4); so does every button with the attribute
   data-kb-keys, which stays hidden until this script shows it. No key acts while somebody types, picks from a
   list, has a dialog open, or holds Ctrl, Alt or Meta. */

"use strict";

(() => {
  const STORE = "kb.keys";
  const bindings = new Map();
  let help = null;

  // Where storage is forbidden the switch holds until the page is left.
  let on = read() !== "off";

  function read() {
    try {
      return localStorage.getItem(STORE);
    } catch {
      return null;
    }
  }

  function turn(value) {
    on = value;
    try {
      if (on) localStorage.removeItem(STORE);
      else localStorage.setItem(STORE, "off");
    } catch {
      // The page goes on without remembering.
    }
  }

  function takesKeys(element) {
    if (element.closest("select, textarea, [role='textbox'], [role='combobox'], [role='listbox']")) return true;
    if (element.isContentEditable) return true;
    const input = element.closest("input");
    return input !== null && !["checkbox", "radio", "button", "submit", "reset"].includes(input.type);
  }

  function onKey(event) {
    if (!on || event.defaultPrevented || event.isComposing) return;
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (takesKeys(event.target) || document.querySelector("dialog[open]")) return;
    const binding = bindings.get(event.key);
    if (!binding?.run || (event.repeat && !binding.repeat)) return;
    event.preventDefault();
    binding.run(event);
  }

  function made(tag, properties, ...children) {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  }

  function dialog() {
    const box = made("input", { type: "checkbox", id: "kb-keys-on" });
    box.addEventListener("change", () => turn(box.checked));
    const list = made("dl", { className: "kb-keys-list" });
    const shown = made(
      "dialog",
      { className: "kb-keys", id: "kb-keys" },
      made("h2", { id: "kb-keys-title", textContent: "Keys on this page" }),
      list,
      made("p", {}, box, made("label", { htmlFor: "kb-keys-on", textContent: "Single keys act in this browser" })),
      made(
        "form",
        { method: "dialog" },
        made("button", { className: "button", textContent: "Close", autofocus: true }),
      ),
    );
    shown.setAttribute("aria-labelledby", "kb-keys-title");
    document.body.append(shown);
    return { shown, list, box };
  }

  function show() {
    help ??= dialog();
    help.list.replaceChildren(
      ...[...bindings.values()].map(({ key, what }) =>
        made(
          "div",
          {},
          made("dt", {}, made("kbd", { textContent: key })),
          made("dd", { textContent: what }),
        ),
      ),
    );
    help.box.checked = on;
    help.shown.showModal();
  }

  window.kbKeys = (more) => {
    for (const binding of more) bindings.set(binding.key, binding);
    if (bindings.has("?")) return;
    bindings.set("?", { key: "?", what: "This help", run: show });
    document.addEventListener("keydown", onKey);
    for (const button of document.querySelectorAll("[data-kb-keys]")) {
      button.hidden = false;
      button.addEventListener("click", show);
    }
  };
})();
