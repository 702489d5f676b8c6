// How things are said, and elements that hold nothing but text.

/** An element with text, never with markup. */
export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The same of a text that quotes commands and names between backticks. */
export function quoting(tag, className, text) {
  const made = element(tag, className);
  text.split("`").forEach((part, index) => made.append(index % 2 ? element("code", "", part) : part));
  return made;
}

/** Sets a text that may be the same already; only a change is painted. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** How long something has lasted. */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A moment, in the time of this place. */
export function moment(text) {
  const date = new Date(text);
  // In the order in which it sorts, which nobody takes for another.
  return Number.isNaN(date.valueOf()) ? text : date.toLocaleString("sv-SE");
}

const SIGNALS = { 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM" };

/** How a process ended. */
export function exit(last) {
  if (!last) return "–";
  if ("code" in last) return `exit ${last.code}`;
  return SIGNALS[last.signal] ?? `signal ${last.signal}`;
}

/** Which of the three groups a gateway belongs to. */
export function group(gateway) {
  const { state, attention } = gateway;
  // Without a state there is only the error why it can't be read.
  if (!state || attention) return "attention";
  return ["up", "starting", "stopping"].includes(state) ? "running" : "down";
}

/** How urgent it is, within the first group. */
export function urgency({ state }) {
  const order = ["parked", "backoff", "orphan", "stray"];
  return state ? order.indexOf(state) === -1 ? order.length : order.indexOf(state) : -1;
}

/** What a gateway can be told to do next, and the words for it while it is being done. */
export function next({ state }, verb) {
  const runs = ["up", "starting", "stopping", "backoff", "orphan", "stray"].includes(state);
  const doing = { start: "Starting…", stop: "Stopping…" };
  return {
    runs,
    verb: runs ? "stop" : "start",
    word: doing[verb] ?? (runs ? "Stop" : "Start"),
    restart: verb === "restart" ? "Restarting…" : "Restart",
  };
}

/** Why a gateway is as it is, where there is something to say. */
export function why(gateway) {
  const { state, intent, wanted, parked, backoff, error, causes } = gateway;
  if (error) return [error, ...(causes ?? [])].join(": ");
  if (parked) return parked.reason;
  if (backoff) {
    const left = Math.ceil((new Date(backoff.until) - Date.now()) / 1000);
    const times = backoff.count > 1 ? `died ${backoff.count} times in a row` : "died";
    return left > 0 ? `${times}, starts again in ${left} s` : `${times}, starts again now`;
  }
  if (state === "backoff") return "died, and starts again";
  if (state === "orphan") return "runs, but not as its supervisor’s process: restart it, or stop it";
  if (state === "stray") return "its supervisor outlived its tree: restart it, or stop it";
  if (wanted && !intent && ["down", "unsupervised"].includes(state)) return "down, and its intent can’t be read: start it, or stop it";
  if (state === "unsupervised") return wanted ? "wanted, and nobody looks after it: start it" : "has no service yet";
  if (state === "down" && wanted) return "wanted, and down: start it";
  return "";
}

const UNSEEN = new RegExp(
  "[\\u0000-\\u0008\\u000a-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b-\\u200f" +
  "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e007f}]", "gu");

/** What was said, with what can't be seen made visible. Colours are left out: they say nothing. */
export function visible(text) {
  const code = (c) => `\\u{${c.codePointAt(0).toString(16)}}`;
  return text.replace(/\u001b\[[0-9;]*m/g, "").replace(UNSEEN, code);
}
