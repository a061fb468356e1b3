// Offer what a search may be after while somebody types: a combobox with a list (WAI-ARIA 1.2). Without this
// script the field is a plain form.

const WAIT = 120; // ms without a key before kb is asked

function option(id, text, kind, go) {
  const item = document.createElement("li");
  item.id = id;
  item.setAttribute("role", "option");
  item.setAttribute("aria-selected", "false");
  item.append(text);
  if (kind) {
    const label = document.createElement("span");
    label.textContent = kind;
    item.append(" ", label);
  }
  // Before the field loses focus, which closes the list.
  item.addEventListener("pointerdown", (event) => {
    event.preventDefault();
    go();
  });
  item.go = go;
  return item;
}

function offer(field) {
  const form = field.form;
  const list = document.createElement("ul");
  list.id = `${field.id}-offers`;
  list.className = "offers";
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  form.append(list);
  for (const [name, value] of Object.entries({
    role: "combobox",
    "aria-autocomplete": "list",
    "aria-expanded": "false",
    "aria-controls": list.id,
  })) {
    field.setAttribute(name, value);
  }
  let timer = 0;
  let asking = new AbortController();
  let at = -1;

  function close() {
    list.hidden = true;
    at = -1;
    field.setAttribute("aria-expanded", "false");
    field.removeAttribute("aria-activedescendant");
  }

  function choose(place) {
    const items = [...list.children];
    at = (place + items.length + 1) % (items.length + 1); // one place for the field itself
    items.forEach((item, number) => item.setAttribute("aria-selected", String(number === at)));
    if (items[at]) {
      field.setAttribute("aria-activedescendant", items[at].id);
      items[at].scrollIntoView({ block: "nearest" });
    } else {
      field.removeAttribute("aria-activedescendant");
    }
  }

  function show(found) {
    let number = 0;
    const next = () => `${list.id}-${number++}`;
    const page = (address) => () => location.assign(address.replace("/api/v1/", "/"));
    const query = (words) => () => {
      field.value = words;
      form.requestSubmit();
    };
    list.replaceChildren(
      ...found.queries.slice(0, 4).map((words) => option(next(), words, "", query(words))),
      ...found.posts.slice(0, 5).map((post) => option(next(), post.title, "post", page(post.url))),
      ...found.entities.slice(0, 3).map((it) => option(next(), it.name, it.type, page(it.url))),
    );
    list.hidden = list.children.length === 0;
    field.setAttribute("aria-expanded", String(!list.hidden));
    at = -1;
    field.removeAttribute("aria-activedescendant");
  }

  async function ask() {
    asking.abort();
    asking = new AbortController();
    const words = field.value.trim();
    if (words.length < 2) return close();
    try {
      const address = `${field.dataset.suggest}?${new URLSearchParams({ q: words.slice(0, 100) })}`;
      const response = await fetch(address, { signal: asking.signal });
      if (!response.ok) return close();
      const found = await response.json();
      if (document.activeElement === field) show(found);
    } catch {
      close(); // suggestions are a help: without them the search works all the same
    }
  }

  field.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, WAIT);
  });
  field.addEventListener("blur", () => {
    clearTimeout(timer);
    asking.abort();
    close();
  });
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || list.hidden) return;
    const items = list.children;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      choose(at < 0 && step < 0 ? items.length - 1 : at + step);
    } else if (event.key === "Escape") {
      event.preventDefault();
      close();
    } else if (event.key === "Enter" && items[at]) {
      event.preventDefault();
      items[at].go();
    }
  });
}

document.querySelectorAll("[data-suggest]").forEach(offer);
