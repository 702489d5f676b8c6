// The two dialogs, and what is told in passing.

import { ask } from "./server.js";
import { element, quoting } from "./words.js";

/** Wires a dialog: `read` makes a request of its form, `done` is told what came of it. */
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

/** The dialog that makes a profile. */
export function creation(done) {
  return wire(document.getElementById("create"), ({ name, port, start }) => ({
    method: "POST",
    path: "profiles",
    body: { name: name.value.trim(), port: port.value ? Number(port.value) : null, start: start.checked },
  }), done);
}

/** The dialog that removes one, once its name was typed. */
export function removal(done) {
  const dialog = document.getElementById("delete");
  const typed = dialog.querySelector("[name=name]");
  const go = dialog.querySelector("[value=do]");
  let wanted = "";
  typed.addEventListener("input", () => {
    go.disabled = typed.value !== wanted;
  });
  const show = wire(dialog, ({ name, keep }) => ({
    method: "DELETE",
    path: `profiles/${encodeURIComponent(wanted)}`,
    body: { confirm: name.value, keep_logs: keep.checked },
  }), done);
  return (name) => {
    wanted = name;
    dialog.querySelector("h2").textContent = `Delete ${name}?`;
    dialog.querySelector(".ask").textContent = `Type ${name} to go on`;
    show();
    go.disabled = true;
  };
}

const SHORT = 5000;

/** Tells something in passing; what went wrong stays until it was read. */
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
  else setTimeout(() => made.remove(), SHORT);
  toasts.append(made);
  while (toasts.children.length > 4) toasts.firstElementChild.remove();
}
