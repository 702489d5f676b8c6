// The page: shows the server's events in the table, and sends the user's actions to the server.

import { creation, removal, toast } from "./dialogs.js";
import { Panel } from "./log.js";
import { ask, Refused, stream, token } from "./server.js";
import { Table } from "./table.js";
import { Usage } from "./usage.js";
import { duration, element, group, setText } from "./words.js";

const at = (id) => document.getElementById(id);
const DONE = { start: "is up", stop: "is down", restart: "is up again" };

const usage = new Usage(measured);
const used = (name) => usage.of(name);
const table = new Table(at("grid"), { open, act, painted, usage: used, busy: (name, verb) => panel.busy(name, verb) });
const panel = new Panel(at("panel"), { close, act, usage: used, remove: removal(removed), signedOut });
const create = creation(({ profile, port, state }) => {
  toast(`${profile} was created, on port ${port ?? "–"}${state ? `, and is ${state}` : ""}`);
});
let problem = null;
let loaded = false;

// --- events from the server

let wake = () => {};

async function listen() {
  for (let wait = 1; token.get(); wait = Math.min(wait * 2, 15)) {
    const ends = new AbortController();
    try {
      for await (const { event, data } of stream("events", ends.signal)) {
        if (event === "open") wait = 1;
        else handle(event, data);
      }
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return signedOut();
    } finally {
      ends.abort();
    }
    await retry(wait);
  }
}

function handle(event, data) {
  connected(true);
  if (event === "snapshot") {
    loaded = true;
    problem = data.problem;
    table.replace(data.gateways);
    data.gateways.forEach((gateway) => panel.put(gateway));
    if (panel.name !== null && !table.rows.has(panel.name)) close();
    notice();
  } else if (event === "gateway") {
    table.put(data);
    panel.put(data);
  } else if (event === "removed") {
    table.remove(data.profile);
    if (panel.name === data.profile) close();
  }
}

/** Waits before the next attempt, and shows the remaining time. */
async function retry(seconds) {
  connected(false);
  const since = Date.now();
  for (let remaining = seconds; remaining > 0; remaining -= 1) {
    notice(`Trying again in ${remaining} s.`);
    const woken = await new Promise((resolve) => {
      wake = () => resolve(true);
      setTimeout(() => resolve(false), 1000);
    });
    if (woken || Date.now() - since > seconds * 1000) break;
  }
  notice("Trying again.");
}

let lastEvent = Date.now();

function connected(is) {
  if (is) lastEvent = Date.now();
  const live = at("live");
  live.dataset.is = is ? "live" : "gone";
  setText(live.lastElementChild, is ? "Live" : "Not connected");
  at("app").classList.toggle("stale", !is);
}

/** Shows or hides the banner about a lost connection or supervisor. */
function notice(retrying) {
  const banner = at("banner");
  const [what, more, hint] = banner.querySelectorAll("strong, span, .hint");
  const gone = at("live").dataset.is === "gone";
  banner.hidden = !gone && !problem;
  at("again").hidden = !gone;
  if (gone) {
    setText(what, "The dashboard’s server does not answer.");
    setText(more, `Last update ${duration((Date.now() - lastEvent) / 1000)} ago. ${retrying ?? ""}`);
    setText(hint, "");
  } else if (problem) {
    setText(what, `The gateways’ status can’t be read: ${problem.error}.`);
    setText(more, problem.causes.join(": "));
    setText(hint, problem.hint ?? "");
  }
  painted();
}

function measured() {
  table.measured();
  panel.measured();
}

// --- actions of the user

async function act(name, verb) {
  if (table.rows.get(name)?.verb) return;
  table.busy(name, verb);
  try {
    const gateway = await ask("POST", `gateways/${encodeURIComponent(name)}/${verb}`);
    toast(`${name} ${DONE[verb]}${gateway.pid ? `, process ${gateway.pid}` : ""}`);
  } catch (error) {
    if (error instanceof Refused && error.status === 401) return signedOut();
    toast(error.message, error);
  } finally {
    table.busy(name, null);
  }
}

function open(name) {
  const row = table.rows.get(name);
  if (!row) return;
  const again = panel.name === name;
  table.open(again ? null : name);
  if (again) return close();
  panel.open(row.gateway, row.verb);
  panel.lines.focus({ preventScroll: true });
}

function close() {
  const name = panel.name;
  table.open(null);
  panel.close();
  table.rows.get(name)?.open.focus({ preventScroll: true });
}

function removed({ profile }) {
  toast(`${profile} was deleted`);
}

// --- around the table

const FILTERS = [["all", "All"], ["attention", "Attention"], ["running", "Running"], ["down", "Down"]];
const filters = new Map(FILTERS.map(([key, title]) => {
  const button = element("button", "filter");
  button.type = "button";
  button.dataset.group = key;
  button.append(element("span", "", title), element("b", "", "0"));
  button.addEventListener("click", () => table.filter({ group: key }));
  at("filters").append(button);
  return [key, button];
}));

/** Updates the filters, the title and the empty state after the table was painted. */
function painted() {
  const counts = { all: 0, attention: 0, running: 0, down: 0 };
  for (const gateway of table.gateways()) {
    counts.all += 1;
    counts[group(gateway)] += 1;
  }
  for (const [key, button] of filters) {
    setText(button.lastElementChild, String(counts[key]));
    button.setAttribute("aria-pressed", String(table.show.group === key));
    button.classList.toggle("some", counts[key] > 0);
  }
  const title = counts.attention ? `(${counts.attention}) Hermes` : "Hermes";
  if (document.title !== title) document.title = title;
  at("grid").hidden = !table.visible;
  const empty = at("empty");
  empty.hidden = Boolean(table.visible) || !loaded || Boolean(problem && !counts.all);
  const [heading, text, button] = empty.children;
  button.hidden = true;
  if (counts.all === 0) {
    setText(heading, "No profile yet");
    setText(text, "A profile is an agent with its own home and gateway.");
  } else if (table.show.text || table.show.group !== "all") {
    setText(heading, table.show.group === "attention" && !table.show.text ? "All is well" : "No matches");
    setText(text, table.show.group === "attention" && !table.show.text ? "No gateway needs attention." : "No gateway matches the search and the filter.");
    setText(button, "Show all");
    button.hidden = false;
  }
}

at("empty").lastElementChild.addEventListener("click", () => {
  at("search").value = "";
  table.filter({ text: "", group: "all" });
});
at("search").addEventListener("input", () => table.filter({ text: at("search").value.trim() }));
at("new").addEventListener("click", create);
at("again").addEventListener("click", () => wake());
at("sign-out").addEventListener("click", signedOut);
addEventListener("online", () => wake());
document.addEventListener("visibilitychange", () => document.hidden || wake());
addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    at("search").focus();
  } else if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    if (typing && event.target.value) return;
    if (panel.name !== null) close();
  } else if (event.key === "ArrowDown" && event.target === at("search")) {
    event.preventDefault();
    table.held?.focus();
  }
});

// --- signing in and out

function signedOut() {
  token.forget();
  location.reload();
}

async function signIn() {
  at("sign-in").hidden = true;
  at("app").hidden = false;
  setText(at("where"), location.host + location.pathname.replace(/\/$/, ""));
  listen();
  usage.run();
}

at("sign-in-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  token.keep(at("token").value.trim(), at("remember").checked);
  try {
    await ask("GET", "openapi.json");
    at("token").value = "";
    signIn();
  } catch (error) {
    token.forget();
    setText(at("sign-in-error"), error instanceof Refused ? `${error.message}.` : "The server does not answer.");
  }
});

/** Exchanges the code of `hermes dashboard --open`, which must not stay in the history, for the token. */
async function redeem(code) {
  history.replaceState(null, "", location.pathname);
  try {
    token.keep((await ask("POST", "sign-in", { code })).token, false);
  } catch (error) {
    setText(at("sign-in-error"), error instanceof Refused ? `${error.message}.` : "The server does not answer.");
  }
}

const code = location.hash.match(/^#sign-in=(.+)$/)?.[1];
if (code) await redeem(code);
if (token.get()) signIn();
else {
  at("sign-in").hidden = false;
  at("token").focus();
}
