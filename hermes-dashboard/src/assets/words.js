// Texts of the page, and elements that contain only text.

/** An element with a text, which is never parsed as markup. */
export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The same; parts of the text between backticks become `code` elements. */
export function quoting(tag, className, text) {
  const made = element(tag, className);
  text.split("`").forEach((part, index) => made.append(index % 2 ? element("code", "", part) : part));
  return made;
}

/** Sets the text of an element, unless it is the same already. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A duration as text. */
export function duration(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A number of bytes as text. */
export function bytes(number) {
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = number / 1024;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${value.toFixed(unit ? 1 : 0)} ${units[unit]}`;
}

/** A share of a processor as text. */
export function percent(share) {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}

/** A time, in the browser's time zone. */
export function moment(text) {
  const date = new Date(text);
  // Swedish has the unambiguous order: year, month, day.
  return Number.isNaN(date.valueOf()) ? text : date.toLocaleString("sv-SE");
}

const SIGNALS = { 6: "SIGABRT", 9: "SIGKILL", 11: "SIGSEGV", 15: "SIGTERM" };

/** How a process ended. */
export function exit(last) {
  if (!last) return "–";
  if ("code" in last) return `exit ${last.code}`;
  return SIGNALS[last.signal] ?? `signal ${last.signal}`;
}

/** The state as people read it: a gateway that is up and does not answer is unresponsive. */
export function stateOf({ state, reason }) {
  return reason?.kind === "unresponsive" ? "unresponsive" : state ?? "unknown";
}

/** The group of a gateway in the table. */
export function group(gateway) {
  const { state, attention } = gateway;
  // If the status can't be read, there is an error and no state.
  if (!state || attention) return "attention";
  return ["up", "served", "starting", "stopping"].includes(state) ? "running" : "down";
}

/** The order of a gateway within the group that needs attention. */
export function urgency({ state }) {
  const order = ["parked", "up", "served", "backoff", "orphan", "stray", "foreign"];
  return state ? order.indexOf(state) === -1 ? order.length : order.indexOf(state) : -1;
}

/** The actions that a gateway allows, and the labels of their buttons. */
export function next({ state }, verb) {
  const runs = ["up", "starting", "stopping", "backoff", "orphan", "stray"].includes(state);
  // Nothing is started beside a gateway that runs outside of any supervisor, and only `hermes adopt` ends it.
  const none = state === "foreign";
  const doing = { start: "Starting…", stop: "Stopping…" };
  return {
    runs,
    none,
    verb: runs ? "stop" : "start",
    word: doing[verb] ?? (runs ? "Stop" : "Start"),
    restart: verb === "restart" ? "Restarting…" : "Restart",
  };
}

/** The reason for the state of a gateway, or an empty text. */
export function reasonOf(gateway) {
  const { state, intent, wanted, backoff, reason, error, causes } = gateway;
  if (error) return [error, ...(causes ?? [])].join(": ");
  if (reason && !backoff) return reason.text;
  if (backoff) {
    const remaining = Math.ceil((new Date(backoff.until) - Date.now()) / 1000);
    const times = backoff.count > 1 ? `died ${backoff.count} times in a row` : "died";
    return remaining > 0 ? `${times}, starts again in ${remaining} s` : `${times}, starts again now`;
  }
  if (state === "served") return "by default’s gateway";
  if (state === "backoff") return "died, starts again";
  if (state === "orphan") return "runs outside its supervisor: restart or stop it";
  if (state === "stray") return "its supervisor outlived its tree: restart or stop it";
  if (state === "foreign") return "runs outside of any supervisor";
  if (wanted && !intent && ["down", "unsupervised"].includes(state)) return "down, and its intent can’t be read: start or stop it";
  if (state === "unsupervised") return wanted ? "its intent is running, but it has no service: start it" : "has no service yet";
  if (state === "down" && wanted) return "its intent is running, but it is down: start it";
  return "";
}

const INVISIBLE = new RegExp(
  "[\\u0000-\\u0008\\u000a-\\u001f\\u007f-\\u009f\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b-\\u200f" +
  "\\u2028-\\u202e\\u2060-\\u206f\\u3164\\ufeff\\uffa0\\ufff9-\\ufffb\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e007f}]", "gu");

/** A line of a log, without colours and with invisible characters as escapes. */
export function visible(text) {
  const code = (c) => `\\u{${c.codePointAt(0).toString(16)}}`;
  return text.replace(/\u001b\[[0-9;]*m/g, "").replace(INVISIBLE, code);
}
