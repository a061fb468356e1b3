// Keep what is typed in the writer's private copy on the server, and say so. Nothing is left in the browser:
// others may use it too.

const PAUSE_MS = 2500;
const RETRY_MS = 15_000;
const KEEPALIVE_BYTES = 60_000; // browsers send up to 64 KiB after a page is gone

/** Keep the form: `soon()` once typing pauses. */
export function keeper(form, { keep: address, login, unsaved }) {
  const status = document.getElementById("kept");
  const others = document.getElementById("others");
  const token = form.elements.copy;
  let kept = unsaved === undefined ? snapshot() : ""; // what the server has, in a revision or in the copy
  let timer = 0;
  let sending = false;
  let leaving = false; // a real save is under way
  let paused = false; // the writer is asked something
  let renewed = false; // the token, after which another 403 is no matter of tokens

  function snapshot() {
    const names = new Set(["csrfmiddlewaretoken", "copy", "post", "writer"]);
    return JSON.stringify([...new FormData(form)].filter(([name]) => !names.has(name) && !name.startsWith("merge-")));
  }

  const isDirty = () => snapshot() !== kept;

  function soon(after = PAUSE_MS) {
    clearTimeout(timer);
    if (!paused && !leaving) timer = setTimeout(send, after);
  }

  async function send() {
    if (sending) {
      soon();
      return;
    }
    const now = snapshot();
    if (now === kept || leaving) return;
    sending = true;
    try {
      const answer = await post();
      if (answer.type === "opaqueredirect") loggedOut();
      else if (answer.ok) took(now, await answer.json());
      else if (answer.status === 409) ask(await answer.json());
      else if (answer.status === 403 && !renewed && (await renew())) soon(0);
      else if (answer.status === 403) say("Not saved privately: you may not edit this any more.");
      else if (answer.status === 413) say("Not saved privately: the text is too large. Save a draft.");
      else later("the server does not answer as it should");
    } catch {
      if (!leaving) later("the server cannot be reached");
    } finally {
      sending = false;
    }
  }

  const post = (options = {}) =>
    fetch(address, { method: "POST", body: new FormData(form), redirect: "manual", headers: { Accept: "application/json" }, ...options });

  function took(now, answer) {
    kept = now;
    renewed = false;
    delete status.dataset.out;
    token.value = answer.copy;
    if (others.dataset.html !== answer.others) others.innerHTML = others.dataset.html = answer.others;
    say(`Saved privately at ${answer.at}.`);
    if (isDirty()) soon();
  }

  function later(why) {
    say(`Not saved privately: ${why}. Trying again; keep this page open.`);
    soon(RETRY_MS);
  }

  function say(sentence, ...controls) {
    // Once more the same would be read aloud once more.
    if (status.textContent !== sentence || controls.length) status.replaceChildren(sentence, ...controls);
  }

  /** Another tab, or changes that wait to be restored: never write over them unasked. */
  function ask({ error, code, copy }) {
    if (code !== "another_copy") {
      say(`Not saved privately: ${error}`);
      return;
    }
    paused = true;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "button";
    button.textContent = "Keep this text instead";
    button.onclick = () => {
      token.value = copy;
      paused = false;
      send();
    };
    say(`Not saved privately: ${error} `, button);
  }

  function loggedOut() {
    soon(RETRY_MS);
    if ("out" in status.dataset) return;
    const link = document.createElement("a");
    link.href = login;
    link.target = "_blank";
    link.rel = "noopener";
    link.textContent = "Log in in another tab";
    say("Not saved privately: you are logged out. Your text stays here. ", link, ", then come back.");
    status.dataset.out = "";
  }

  /** A login makes a new token for forms: take it, or the form would be refused. */
  async function renew() {
    const answer = await fetch(address, { redirect: "manual", headers: { Accept: "application/json" } });
    if (!answer.ok) return false;
    const { csrf } = await answer.json();
    for (const field of document.querySelectorAll("input[name=csrfmiddlewaretoken]")) field.value = csrf;
    renewed = true;
    return true;
  }

  async function back() {
    if (!("out" in status.dataset)) return;
    try {
      if (!(await renew())) return;
      delete status.dataset.out;
      say("You are logged in again.");
      soon(0);
    } catch {
      // The next try says what is wrong.
    }
  }

  /** The page may be gone after this: send what the browser still takes along. */
  function last() {
    if (paused || leaving || sending || !isDirty()) return;
    const now = snapshot();
    post({ keepalive: new Blob([now]).size < KEEPALIVE_BYTES }).then(
      async (answer) => answer.ok && took(now, await answer.json()),
      () => {},
    );
  }

  form.addEventListener("submit", () => {
    leaving = true;
    clearTimeout(timer);
  });
  addEventListener("pageshow", () => { leaving = false; });
  addEventListener("focus", back);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") last();
    else back();
  });
  addEventListener("beforeunload", (event) => {
    const lost = paused || "out" in status.dataset || new Blob([snapshot()]).size >= KEEPALIVE_BYTES;
    if (!leaving && isDirty() && lost) event.preventDefault();
  });

  soon();
  return { soon: () => soon() };
}
