// Copy a post as Markdown, and print it. Without this script the link beside it shows the Markdown.

const status = document.querySelector(".use [role=status]");

function say(sentence) {
  status.textContent = sentence;
}

async function copy(address) {
  const response = await fetch(address, { headers: { Accept: "text/markdown" } });
  // A login that ended answers with the login page.
  if (!response.ok || !response.headers.get("Content-Type").startsWith("text/markdown")) {
    throw new Error(`got status ${response.status}`);
  }
  await navigator.clipboard.writeText(await response.text());
}

// Browsers offer the clipboard on https and on one's own machine alone.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
  button.addEventListener("click", async () => {
    say("");
    try {
      await copy(button.dataset.copy);
      say("Copied");
    } catch {
      say("It could not be copied. Open “Read as Markdown” and copy it there.");
    }
  });
}

for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
