// The dialogs to create and delete a profile, and toasts.

import { ask } from "./server.js";
import { element, quoting } from "./words.js";

/** Wires a dialog: `read` turns its form into a request, `done` gets the response. */
function wire(dialog, read, done) {
  const form = dialog.querySelector("form");
  const go = form.querySelector("[value=do]");
  const wrong = form.querySelector(".error");
  form.querySelector("[value=cancel]").addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    dialog.classList.add("busy");
    wrong.textContent = "";
    try {
      const { method, path, body } = read(form.elements);
      done(await ask(method, path, body));
      dialog.close();
    } catch (error) {
      wrong.textContent = [error.message, ...(error.causes ?? [])].join(": ") + (error.hint ? ` (${error.hint})` : "");
    } finally {
      go.disabled = false;
      dialog.classList.remove("busy");
    }
  });
  return () => {
    form.reset();
    wrong.textContent = "";
    dialog.showModal();
  };
}

/** The dialog to create a profile. */
export function creation(done) {
  return wire(document.getElementById("create"), ({ name, port, start }) => ({
    method: "POST",
    path: "profiles",
    body: { name: name.value.trim(), port: port.value ? Number(port.value) : null, start: start.checked },
  }), done);
}

/** The dialog to delete a profile, which requires its typed name. */
export function removal(done) {
  const dialog = document.getElementById("delete");
  const typed = dialog.querySelector("[name=name]");
  const go = dialog.querySelector("[value=do]");
  let expected = "";
  typed.addEventListener("input", () => {
    go.disabled = typed.value !== expected;
  });
  const show = wire(dialog, ({ name, keep }) => ({
    method: "DELETE",
    path: `profiles/${encodeURIComponent(expected)}`,
    body: { confirm: name.value, keep_logs: keep.checked },
  }), done);
  return (name) => {
    expected = name;
    dialog.querySelector("h2").textContent = `Delete ${name}?`;
    dialog.querySelector(".ask").textContent = `Type ${name} to confirm`;
    show();
    go.disabled = true;
  };
}

/** How long a toast without an error stays, in milliseconds. */
const DISMISS_AFTER = 5000;

/** Shows a toast; one with an error stays until the user dismisses it. */
export function toast(text, error) {
  const toasts = document.getElementById("toasts");
  const made = element("div", error ? "toast wrong" : "toast");
  made.append(quoting("strong", "", text));
  for (const cause of error?.causes ?? []) made.append(quoting("p", "", cause));
  if (error?.hint) made.append(quoting("p", "hint", error.hint));
  const close = element("button", "icon", "✕");
  close.type = "button";
  close.setAttribute("aria-label", "Dismiss");
  close.addEventListener("click", () => made.remove());
  made.append(close);
  if (error) made.setAttribute("role", "alert");
  else setTimeout(() => made.remove(), DISMISS_AFTER);
  toasts.append(made);
  while (toasts.children.length > 4) toasts.firstElementChild.remove();
}
