// The panel of one gateway: its details, and its log, which is followed.

import { History } from "./history.js";
import { stream, Refused } from "./server.js";
import { offer } from "./table.js";
import { bytes, duration, element, exit, moment, next, percent, quoting, reasonOf, setText, stateOf, visible } from "./words.js";

/** The lines that are kept; `hermes gateway logs` prints older ones. */
const KEEP = 3000;

export class Panel {
  constructor(node, on) {
    this.node = node;
    this.on = on;
    this.name = null;
    setInterval(() => document.hidden || this.name === null || this.paint(), 1000);
  }

  open(gateway, verb) {
    this.close();
    this.name = gateway.profile;
    this.verb = verb;
    this.gateway = gateway;
    this.history = new History(this.name);
    this.build();
    this.paint();
    this.history.refresh();
    this.node.hidden = false;
    document.body.classList.add("split");
    this.follow();
  }

  close() {
    this.ends?.abort();
    this.name = null;
    this.node.hidden = true;
    this.node.replaceChildren();
    document.body.classList.remove("split");
  }

  /** Updates the panel if it shows this gateway. */
  put(gateway) {
    if (gateway.profile !== this.name) return;
    this.gateway = gateway;
    this.paint();
    this.history.refresh();
  }

  /** The gateways were measured. */
  measured() {
    if (this.name === null) return;
    this.paint();
    this.history.refresh();
  }

  /** An action on a gateway has begun (`verb`) or ended (null). */
  busy(name, verb) {
    if (name !== this.name) return;
    this.verb = verb;
    this.paint();
  }

  build() {
    this.advised = null;
    const head = element("header");
    const name = element("h2", "", this.name);
    name.id = "panel-name";
    const button = (className, text, act) => {
      const made = element("button", className, text);
      made.type = "button";
      made.addEventListener("click", act);
      return made;
    };
    this.toggle = button("", "", () => this.on.act(this.name, this.toggle.dataset.verb));
    this.restart = button("", "", () => this.on.act(this.name, "restart"));
    const close = button("icon", "✕", () => this.on.close());
    close.setAttribute("aria-label", "Close");
    head.append(name, this.toggle, this.restart, close);
    this.facts = element("dl");
    this.reason = element("p", "reason");
    this.advice = element("p", "advice");
    const tools = element("div", "log-tools");
    this.search = element("input");
    this.search.type = "search";
    this.search.placeholder = "Find in the log";
    this.search.setAttribute("aria-label", this.search.placeholder);
    this.search.addEventListener("input", () => this.refilter());
    this.pause = button("", "Pause", () => this.hold(!this.held));
    this.pause.setAttribute("aria-pressed", "false");
    this.count = element("small", "count");
    this.count.setAttribute("role", "status");
    tools.append(this.search, this.pause, this.count);
    this.lines = element("div", "log");
    this.lines.tabIndex = 0;
    this.lines.setAttribute("role", "log");
    this.lines.setAttribute("aria-label", `Log of ${this.name}`);
    this.lines.addEventListener("scroll", () => this.scrolled());
    this.latest = button("latest", "↓ Newest", () => this.toEnd());
    this.latest.hidden = true;
    const foot = element("footer");
    const remove = button("danger quiet", "Delete profile…", () => this.on.remove(this.name));
    remove.hidden = this.name === "default";
    foot.append(this.latest, remove);
    this.node.replaceChildren(head, this.reason, this.advice, this.facts, this.history.node, tools, this.lines, foot);
    this.held = false;
    this.waiting = [];
    this.atEnd = true;
    this.empty();
  }

  paint() {
    const { ready, pid, since, intent, port, kind, deaths, last_exit: last, parked } = this.gateway;
    const readiness = ready === true ? ", ready" : ready === false ? ", not ready" : "";
    const facts = [
      ["State", `${stateOf(this.gateway)}${readiness}`],
      ["Process", pid ? String(pid) : "–"],
      ["Since", since ? moment(since) : "–"],
      ["For", since ? duration((Date.now() - new Date(since)) / 1000) : "–"],
      ["Intent", intent ?? "unknown"],
      ["Port", port ? String(port) : "–"],
      ["Runs", kind ?? "unknown"],
      ["Deaths", `${deaths ?? 0} in the last hour`],
      ["Last exit", exit(last)],
    ];
    const usage = this.on.usage(this.name);
    if (usage) {
      const { memory_bytes: memory, memory_kind: kind, cpu_seconds: cpu, processes, share } = usage;
      facts.push(["Memory", `${bytes(memory)} ${kind.toUpperCase()}`]);
      facts.push(["CPU", `${share === null ? "" : `${percent(share)}, `}${duration(cpu)} so far`]);
      facts.push(["Processes", String(processes)]);
    }
    if (parked?.since) facts.push(["Parked", moment(parked.since)]);
    while (this.facts.children.length > facts.length) this.facts.lastChild.remove();
    facts.forEach(([key, value], index) => {
      const at = this.facts.children[index] ?? this.facts.appendChild(element("div"));
      if (!at.children.length) at.append(element("dt"), element("dd"));
      setText(at.children[0], key);
      setText(at.children[1], value);
    });
    offer(this, this.name, next(this.gateway, this.verb), Boolean(this.verb));
    const reason = reasonOf(this.gateway);
    setText(this.reason, reason);
    this.reason.hidden = !reason;
    const advice = this.gateway.advice ?? this.gateway.hint ?? "";
    if (this.advised !== advice) this.advice.replaceChildren(...quoting("p", "", advice).childNodes);
    this.advised = advice;
    this.advice.hidden = !advice;
  }

  async follow() {
    const ends = new AbortController();
    this.ends = ends;
    const name = encodeURIComponent(this.name);
    for (let wait = 1000; !ends.signal.aborted; wait = Math.min(wait * 2, 10_000)) {
      try {
        for await (const { event, data } of stream(`gateways/${name}/log?follow&lines=500`, ends.signal)) {
          if (ends.signal.aborted) return;
          if (event === "open") this.begin();
          if (event === "lines") this.take(data);
          wait = 1000;
        }
      } catch (error) {
        if (ends.signal.aborted) return;
        if (error instanceof Refused && error.status === 401) return this.on.signedOut();
        if (error instanceof Refused && error.status === 404) return;
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  /** Clears the log: each stream starts with the last lines again. */
  begin() {
    this.lines.replaceChildren();
    this.waiting = [];
    this.empty();
  }

  empty() {
    this.lines.replaceChildren(element("p", "nothing", "The log is empty."));
    setText(this.count, "");
  }

  take(lines) {
    if (this.held) {
      this.waiting = this.waiting.concat(lines).slice(-KEEP);
      setText(this.pause, `Resume (${this.waiting.length})`);
      return;
    }
    if (this.lines.firstElementChild?.classList.contains("nothing")) this.lines.replaceChildren();
    const made = document.createDocumentFragment();
    for (const line of lines.slice(-KEEP)) made.append(this.line(line));
    this.lines.append(made);
    while (this.lines.children.length > KEEP) this.lines.firstElementChild.remove();
    if (this.atEnd) this.toEnd();
    else this.latest.hidden = false;
    this.counted();
  }

  line({ time, line, cut, missing }) {
    const made = element("div", missing ? "line missing" : "line");
    const at = element("time", "", time ? new Date(time).toLocaleTimeString([], { hour12: false }) : "");
    if (time) at.dateTime = time;
    if (time) at.title = moment(time);
    const text = element("span", "", visible(missing ?? line) + (cut ? "…" : ""));
    made.append(at, text);
    made.content = text.textContent;
    this.mark(made, this.search.value.toLowerCase());
    return made;
  }

  /** Shows a line if it contains the search text, and marks the matches. */
  mark(line, query) {
    const [, text] = line.children;
    if (!line.content) return;
    const lower = line.content.toLowerCase();
    line.hidden = query !== "" && !lower.includes(query);
    if (!query || line.hidden || lower.length !== line.content.length) {
      if (text.childElementCount) text.textContent = line.content;
      return;
    }
    const parts = [];
    let from = 0;
    for (let at = lower.indexOf(query); at !== -1; at = lower.indexOf(query, from)) {
      parts.push(line.content.slice(from, at), element("mark", "", line.content.slice(at, at + query.length)));
      from = at + query.length;
    }
    text.replaceChildren(...parts, line.content.slice(from));
  }

  refilter() {
    const query = this.search.value.toLowerCase();
    for (const line of this.lines.children) if (line.classList.contains("line")) this.mark(line, query);
    this.counted();
    if (this.atEnd) this.toEnd();
  }

  counted() {
    const all = this.lines.children.length;
    const shown = this.search.value ? this.lines.querySelectorAll(".line:not([hidden])").length : all;
    setText(this.count, this.search.value ? `${shown} of ${all} lines` : all === 1 ? "1 line" : `${all} lines`);
  }

  hold(held) {
    this.held = held;
    this.pause.setAttribute("aria-pressed", String(held));
    setText(this.pause, held ? "Resume" : "Pause");
    if (held) return;
    const waiting = this.waiting;
    this.waiting = [];
    if (waiting.length) this.take(waiting);
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.lines;
    this.atEnd = scrollHeight - scrollTop - clientHeight < 24;
    if (this.atEnd) this.latest.hidden = true;
  }

  toEnd() {
    this.atEnd = true;
    this.latest.hidden = true;
    this.lines.scrollTop = this.lines.scrollHeight;
  }
}
