// Let the keyboard reach every box that scrolls: not all browsers do that by themselves.

const boxes = document.querySelectorAll("pre, .scroll");

function reach() {
  for (const box of boxes) {
    if (box.scrollWidth > box.clientWidth || box.scrollHeight > box.clientHeight) {
      box.tabIndex = 0;
    } else {
      box.removeAttribute("tabindex");
    }
  }
}

addEventListener("resize", reach);
reach();
