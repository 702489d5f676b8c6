// What the gateways use: memory, and the share of a processor since the answer before.

import { ask, Refused, token } from "./server.js";

/** The pause between two measurements, in milliseconds, and how many times as long as a measurement it is at least. */
const PAUSE = 5000;
const TIMES = 20;

export class Usage {
  /** Calls `changed` after each measurement. */
  constructor(changed) {
    this.changed = changed;
    this.known = new Map();
  }

  /** What a gateway uses, if that is known: {memory_bytes, memory_kind, cpu_seconds, processes, share}. */
  of(name) {
    return this.known.get(name);
  }

  /** Measures again and again while the page is visible, until the token is refused. */
  async run() {
    while (token.get()) {
      const begun = performance.now();
      try {
        if (!document.hidden) this.take(await ask("GET", "gateways?wide"));
      } catch (error) {
        if (error instanceof Refused && error.status === 401) return;
      }
      const pause = Math.max(PAUSE, TIMES * (performance.now() - begun));
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  take(gateways) {
    const at = performance.now();
    const before = this.known;
    this.known = new Map();
    for (const { profile, pid, usage } of gateways) {
      if (!usage) continue;
      const old = before.get(profile);
      const used = old?.pid === pid ? usage.cpu_seconds - old.cpu_seconds : NaN;
      const share = Number.isNaN(used) ? null : Math.max(0, used * 1000 / (at - old.at));
      this.known.set(profile, { ...usage, pid, at, share });
    }
    this.changed();
  }
}
