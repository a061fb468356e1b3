// The address of kb; of another origin than this page, so kb has to name ours in KB_API_ORIGINS.
const KB = new URLSearchParams(location.search).get("kb") ?? "http://127.0.0.1:8000";

const $ = (selector) => document.querySelector(selector);
const say = (sentence) => { $("[role=status]").textContent = sentence; };
const wait = (seconds, signal) => new Promise((resolve, reject) => {
  const timer = setTimeout(resolve, 1000 * seconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); reject(signal.reason); }, { once: true });
});

class Problem extends Error {
  constructor({ detail, code, status, request_id: id }) {
    super(detail);
    Object.assign(this, { code, status, id });
  }
}

// Ask kb. "no-cache" lets the browser keep the answer and ask with its ETag whether it still holds: a 304
// costs next to nothing, and nothing that was withdrawn is ever shown.
async function ask(address, signal, tries = 3) {
  const response = await fetch(KB + address, { cache: "no-cache", signal, headers: { Accept: "application/json" } });
  if (response.ok) return response.json();
  const isProblem = response.headers.get("Content-Type") === "application/problem+json";
  const problem = isProblem ? await response.json() : { detail: response.statusText, status: response.status };
  // kb says itself whether the same request may succeed later, and when.
  if (problem.retry && tries > 1) {
    await wait(Number(response.headers.get("Retry-After") ?? 1), signal);
    return ask(address, signal, tries - 1);
  }
  throw new Problem(problem);
}

// One request at a time: a newer one takes the place of what is still under way.
let current = new AbortController();
async function show(address, render) {
  current.abort();
  current = new AbortController();
  say("Loading …");
  try {
    render(await ask(address, current.signal));
    say("");
  } catch (error) {
    if (error.name === "AbortError") return;
    // Missing, draft and withdrawn are one and the same answer.
    say(error.code === "not_found" ? "This note is not published." : `${error.message} ${error.id ?? ""}`);
  }
}

let next = null;
function list(page) {
  for (const card of page.results) {
    const link = Object.assign(document.createElement("a"), { href: `#${card.url}`, textContent: card.title });
    const item = document.createElement("li");
    item.append(link, ` ${card.summary}`);
    $("#list").append(item);
  }
  next = page.next;
  $("#more").hidden = !next;
}

function post(detail) {
  const title = Object.assign(document.createElement("h1"), { textContent: detail.title });
  const text = document.createElement("div");
  text.innerHTML = detail.html; // sanitised by kb when a person approved it
  const vouched = `Version ${detail.review.version}, reviewed ${new Date(detail.review.at).toLocaleDateString()}`;
  $("#post").replaceChildren(title, vouched, text);
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  $("#list").replaceChildren();
  const stack = new FormData(event.target).get("stack");
  show(`/api/v1/posts/?${new URLSearchParams({ limit: 20, ...(stack && { stack }) })}`, list);
});
$("#more").addEventListener("click", () => show(next, list));
addEventListener("hashchange", () => {
  const address = location.hash.slice(1);
  if (address) show(address, post);
  else $("#post").replaceChildren();
});
$("form").requestSubmit();
