// The gateways as rows, which are updated and moved in place.

import { bytes, duration, element, exit, group, next, percent, reasonOf, setText, stateOf, urgency } from "./words.js";

const GROUPS = [["attention", "Needs attention"], ["running", "Running"], ["down", "Down"]];
const SVG = "http://www.w3.org/2000/svg";
/** The bars of the chart, of five minutes each. */
const BARS = 12;

/** The grid. Calls `on.open(name)` and `on.act(name, verb)` for the user's actions. */
export class Table {
  constructor(grid, on) {
    this.grid = grid;
    this.on = on;
    this.rows = new Map();
    this.dirty = new Set();
    this.show = { text: "", group: "all" };
    this.opened = null;
    this.groups = new Map(GROUPS.map(([key, title]) => {
      const body = element("div", "group");
      body.setAttribute("role", "rowgroup");
      body.setAttribute("aria-label", title);
      const heading = element("h2", "", title);
      body.append(heading);
      body.hidden = true;
      grid.append(body);
      return [key, { body, heading, title }];
    }));
    grid.addEventListener("keydown", (event) => this.move(event));
    grid.addEventListener("focusin", (event) => this.hold(event.target));
    setInterval(() => document.hidden || this.tick(), 1000);
    document.addEventListener("visibilitychange", () => document.hidden || this.tick());
  }

  /** Replaces all gateways. */
  replace(gateways) {
    const names = new Set(gateways.map((gateway) => gateway.profile));
    for (const name of this.rows.keys()) if (!names.has(name)) this.remove(name);
    gateways.forEach((gateway) => this.put(gateway));
  }

  put(gateway) {
    const row = this.rows.get(gateway.profile) ?? this.make(gateway.profile);
    row.gateway = gateway;
    this.dirty.add(row);
    this.later();
  }

  remove(name) {
    const row = this.rows.get(name);
    if (!row) return;
    row.node.remove();
    this.rows.delete(name);
    this.dirty.delete(row);
    this.moved = true;
    this.later();
  }

  /** An action has begun (`verb`) or ended (null). */
  busy(name, verb) {
    const row = this.rows.get(name);
    if (!row) return;
    row.verb = verb;
    this.on.busy(name, verb);
    this.dirty.add(row);
    this.later();
  }

  filter(show) {
    Object.assign(this.show, show);
    this.moved = true;
    this.later();
  }

  open(name) {
    for (const key of [this.opened, name]) this.rows.get(key)?.node.classList.toggle("opened", key === name);
    this.opened = name;
  }

  gateways() {
    return [...this.rows.values()].map((row) => row.gateway);
  }

  /** Paints all changes once, in the next frame. */
  later() {
    this.planned ??= requestAnimationFrame(() => {
      this.planned = null;
      this.dirty.forEach((row) => this.paint(row));
      this.dirty.clear();
      if (this.moved) this.arrange();
      this.moved = false;
      this.on.painted();
    });
  }

  make(name) {
    const node = element("div", "row");
    node.setAttribute("role", "row");
    node.dataset.profile = name;
    const cell = (className) => {
      const made = element("span", className);
      made.setAttribute("role", "gridcell");
      node.append(made);
      return made;
    };
    const button = (parent, className, text, act) => {
      const made = element("button", className, text);
      made.type = "button";
      made.tabIndex = -1;
      made.addEventListener("click", act);
      parent.append(made);
      return made;
    };
    node.addEventListener("click", (event) => {
      const selected = getSelection()?.toString();
      if (!selected && !event.target.closest("button, a")) this.on.open(name);
    });
    const state = cell("state");
    const dot = element("i");
    const word = element("b");
    const ready = element("small");
    state.append(dot, word, ready);
    const profile = cell("profile");
    const open = button(profile, "name", name, () => this.on.open(name));
    open.title = "Log and details";
    const built = element("small", "badge", "built-in");
    built.title = "Hermes’ own gateway runs here, not an agent";
    const reason = element("small", "why");
    profile.append(built, reason);
    const uptime = cell("num uptime");
    const memory = cell("num memory");
    const cpu = cell("num cpu");
    const deaths = cell("deaths");
    const chart = bars();
    const count = element("span", "num");
    deaths.append(chart.svg, count);
    const port = cell("num port");
    const link = element("a");
    link.tabIndex = -1;
    link.target = "_blank";
    link.rel = "noreferrer";
    port.append(link);
    const intent = cell("intent");
    const last = cell("last");
    const actions = cell("actions");
    const row = { name, node, dot, word, ready, open, built, reason, uptime, memory, cpu, deaths, chart, count, link, intent, last };
    row.toggle = button(actions, "", "", () => this.on.act(name, row.toggle.dataset.verb));
    row.restart = button(actions, "", "Restart", () => this.on.act(name, "restart"));
    this.rows.set(name, row);
    return row;
  }

  paint(row) {
    const { gateway, node, verb } = row;
    const { intent, kind, ready, port, last_exit: last } = gateway;
    const key = group(gateway);
    const place = `${key} ${key === "attention" ? urgency(gateway) : 0}`;
    this.moved ||= row.place !== place;
    row.place = place;
    row.group = key;
    node.dataset.state = stateOf(gateway);
    node.classList.toggle("attention", key === "attention");
    node.classList.toggle("busy", Boolean(verb));
    node.classList.toggle("opened", this.opened === row.name);
    setText(row.word, stateOf(gateway));
    setText(row.ready, ready === true ? "ready" : ready === false ? "not ready" : "");
    // Its own port has no listener.
    const href = port && gateway.state !== "served" ? `http://${location.hostname}:${port}/` : "";
    if (row.link.getAttribute("href") !== href) {
      if (href) row.link.href = href;
      else row.link.removeAttribute("href");
      setText(row.link, port ? String(port) : "–");
    }
    row.built.hidden = kind !== "built-in";
    setText(row.intent, intent ?? "unknown");
    setText(row.last, exit(last));
    offer(row, row.name, next(gateway, verb), Boolean(verb));
    this.time(row);
    this.use(row);
  }

  /** Updates what a gateway uses. */
  use(row) {
    const usage = row.gateway.pid ? this.on.usage(row.name) : null;
    setText(row.memory, usage ? bytes(usage.memory_bytes) : "–");
    const title = usage ? `${usage.memory_kind.toUpperCase()}, processes: ${usage.processes}` : "";
    if (row.memory.title !== title) row.memory.title = title;
    setText(row.cpu, usage && usage.share !== null ? percent(usage.share) : "–");
  }

  /** The gateways were measured. */
  measured() {
    for (const row of this.rows.values()) if (row.gateway) this.use(row);
  }

  /** Updates the texts that change with time. */
  time(row) {
    const { gateway } = row;
    const since = gateway.pid && gateway.since ? (Date.now() - new Date(gateway.since)) / 1000 : null;
    setText(row.uptime, since === null ? "–" : duration(since));
    const reason = reasonOf(gateway);
    setText(row.reason, reason);
    const title = [reason, gateway.advice].filter(Boolean).join("\n");
    if (row.reason.title !== title) row.reason.title = title;
    const died = gateway.died ?? [];
    if (died.length || row.counted) {
      const counts = new Array(BARS).fill(0);
      for (const at of died) {
        const ago = (Date.now() - new Date(at)) / 300_000;
        if (ago < BARS) counts[BARS - 1 - Math.max(0, Math.floor(ago))] += 1;
      }
      row.counted = counts.reduce((sum, count) => sum + count, 0);
      row.chart.draw(counts);
    }
    const deaths = row.counted || gateway.deaths || 0;
    setText(row.count, String(deaths));
    row.deaths.classList.toggle("none", deaths === 0);
    const times = deaths === 1 ? "died once in the last hour" : `died ${deaths} times in the last hour`;
    if (row.deaths.title !== times) row.deaths.title = times;
  }

  tick() {
    for (const row of this.rows.values()) {
      if (row.gateway.pid || row.gateway.backoff || row.counted) this.time(row);
    }
  }

  /** Moves rows into order, and leaves rows that are in place untouched. */
  arrange() {
    const text = this.show.text.toLowerCase();
    const rows = [...this.rows.values()].sort((a, b) =>
      (a.group === "attention" && b.group === "attention" && urgency(a.gateway) - urgency(b.gateway)) ||
      (b.name === "default") - (a.name === "default") || (a.name < b.name ? -1 : 1));
    // Moving a node takes the focus away.
    const focused = this.grid.contains(document.activeElement) ? document.activeElement : null;
    this.visible = 0;
    for (const [key, { body, heading, title }] of this.groups) {
      let shown = 0;
      let place = heading.nextElementSibling;
      for (const row of rows) {
        if (row.group !== key) continue;
        if (row.node === place) place = place.nextElementSibling;
        else body.insertBefore(row.node, place);
        const matches = row.name.includes(text) && (this.show.group === "all" || this.show.group === key);
        if (row.node.hidden === matches) row.node.hidden = !matches;
        shown += matches;
      }
      setText(heading, `${title} · ${shown}`);
      body.hidden = shown === 0;
      this.visible += shown;
    }
    if (focused?.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
    const held = this.held?.isConnected && !this.held.closest("[hidden]");
    if (!held) this.hold(this.grid.querySelector(".group:not([hidden]) .row:not([hidden]) .name"));
  }

  /** Keeps one control of the grid in the tab order: the last one used. */
  hold(control) {
    if (!control || control === this.held || control.tabIndex === undefined) return;
    if (this.held) this.held.tabIndex = -1;
    this.held = control;
    control.tabIndex = 0;
  }

  /** Moves the focus with the arrow keys. */
  move(event) {
    const row = event.target.closest(".row");
    if (!row || event.altKey || event.ctrlKey || event.metaKey) return;
    const controls = (of) => [...of.querySelectorAll("button:not(.unseen), a[href]")];
    const rows = () => [...this.grid.querySelectorAll(".group:not([hidden]) .row:not([hidden])")];
    const here = controls(row).indexOf(event.target);
    const to = (target, column) => {
      const all = target ? controls(target) : [];
      all[Math.max(0, Math.min(column, all.length - 1))]?.focus();
    };
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 };
    if (event.key in steps) {
      const all = rows();
      const index = Math.max(0, Math.min(all.indexOf(row) + steps[event.key], all.length - 1));
      to(all[index], here);
    } else if (event.key === "ArrowRight") to(row, here + 1);
    else if (event.key === "ArrowLeft") to(row, here - 1);
    else if (event.key === "Home") to(rows()[0], 0);
    else if (event.key === "End") to(rows().at(-1), 0);
    else return;
    event.preventDefault();
  }
}

/** Updates the two buttons of a gateway. */
export function offer({ toggle, restart }, name, { runs, none, verb, word, restart: again }, busy) {
  toggle.dataset.verb = verb;
  setText(toggle, word);
  setText(restart, again);
  toggle.classList.toggle("go", !runs);
  toggle.classList.toggle("unseen", none);
  restart.classList.toggle("unseen", !runs);
  toggle.setAttribute("aria-label", `${word} ${name}`);
  restart.setAttribute("aria-label", `${again} ${name}`);
  // `disabled` would take the focus away from the button just pressed.
  for (const button of [toggle, restart]) button.setAttribute("aria-disabled", String(busy));
}

/** A chart with a bar for each five minutes, drawn as one path. */
function bars() {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${BARS * 5 - 1} 16`);
  svg.setAttribute("aria-hidden", "true");
  const [line, some] = ["", "some"].map((className) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", className);
    svg.append(path);
    return path;
  });
  const bar = (height) => (_, index) => `M${index * 5} 16v-${height}h4v${height}z`;
  line.setAttribute("d", Array.from({ length: BARS }, bar(1)).join(""));
  const draw = (counts) => {
    const most = Math.max(4, ...counts);
    const heights = counts.map((count, index) => count && bar(Math.max(3, Math.round((count / most) * 16)))(count, index));
    const drawn = heights.filter(Boolean).join("");
    if (some.getAttribute("d") !== drawn) some.setAttribute("d", drawn);
  };
  return { svg, draw };
}
