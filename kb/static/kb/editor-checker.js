// Turn what is typed into a preview and a list of problems, as the server says; the latest answer wins.

const PAUSE_MS = 600;

/** Check the form: `now()`, or `soon()` once typing pauses. */
export function checker(form, { check: address }) {
  const live = (name) => form.querySelector(`[data-live="${name}"]`);
  const touched = new Set();
  let timer = 0;
  let asked = null; // the request under way
  let again = false;

  form.addEventListener("focusout", (event) => {
    if (event.target.id) touched.add(event.target.id);
  });
  form.addEventListener("input", (event) => touched.add(event.target.id));

  function soon() {
    clearTimeout(timer);
    timer = setTimeout(now, PAUSE_MS);
  }

  async function now() {
    clearTimeout(timer);
    if (asked) {
      // The server compiles one text of a person at a time.
      again = true;
      return;
    }
    asked = new AbortController();
    try {
      const answer = await fetch(address, {
        method: "POST",
        body: new FormData(form),
        headers: { Accept: "application/json" },
        redirect: "manual",
        signal: asked.signal,
      });
      if (answer.ok) show(await answer.json());
      else if (answer.status === 429) again = true;
      else stale();
    } catch {
      stale();
    } finally {
      asked = null;
    }
    if (again) {
      again = false;
      soon();
    }
  }

  function stale() {
    form.querySelector(".kb-pair")?.classList.add("kb-stale");
  }

  function show(said) {
    form.querySelector(".kb-pair").classList.remove("kb-stale");
    if (!said.unreadable) {
      // Compiled and sanitised by the server's one renderer.
      live("preview").innerHTML = said.preview || '<p class="kb-muted">There is no text yet.</p>';
    }
    live("unreadable").hidden = !said.unreadable;
    live("unreadable").textContent = said.unreadable && `No preview: the text cannot be rendered: ${said.unreadable}.`;
    live("checked").innerHTML = said.checked;
    minutes(said);
    version(said);
    problems(said.problems);
  }

  function minutes(said) {
    const stored = form.elements.reading_time;
    offer("minutes", stored, `Computed from the text: ${said.minutes} minute${said.minutes === 1 ? "" : "s"}.`,
      String(said.minutes), stored.value !== String(said.minutes) && `Use ${said.minutes}`);
  }

  function version(said) {
    const field = form.elements.version;
    field.placeholder = said.proposal;
    offer("version", field, said.proposal ? `kb proposes ${said.proposal}, ${said.reason}.` : "", said.proposal,
      said.proposal && field.value !== said.proposal && "Edit it");
  }

  /** Say what was computed beside a field, with a button that puts it there. */
  function offer(name, field, sentence, value, words) {
    const place = live(name);
    const [text, button] = place.children;
    text.textContent = sentence;
    button.hidden = !words;
    button.textContent = words || "";
    button.onclick = () => {
      field.value = value;
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.focus();
      button.hidden = true;
    };
  }

  function problems(found) {
    for (const old of form.querySelectorAll(".kb-problem")) {
      document.getElementById(old.dataset.for)?.removeAttribute("aria-invalid");
      old.remove();
    }
    for (const { id, sentences } of found) {
      const field = document.getElementById(id);
      // What nobody came to yet is no mistake.
      if (!field || !touched.has(id)) continue;
      const list = document.createElement("ul");
      list.className = "errorlist kb-problem";
      list.dataset.for = id;
      for (const sentence of sentences) list.appendChild(document.createElement("li")).textContent = sentence;
      field.setAttribute("aria-invalid", "true");
      (field.closest(".kb-pair, .flex-container, td") ?? field).prepend(list);
    }
  }

  return { soon, now };
}
