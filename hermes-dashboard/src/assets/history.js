// The latest events of one gateway, as `hermes events NAME` prints them.

import { ask } from "./server.js";
import { element, moment, visible } from "./words.js";

/** How many events are shown. */
const EVENTS = 20;

export class History {
  constructor(name) {
    this.name = name;
    this.node = element("section", "history");
    this.list = element("ol");
    this.node.setAttribute("aria-label", `Events of ${name}`);
    this.node.append(element("h3", "", "Events"), this.list);
    this.node.hidden = true;
    this.last = "";
  }

  /** Asks for the events, and shows the newest first. */
  async refresh() {
    const path = `journal?profile=${encodeURIComponent(this.name)}&lines=${EVENTS}`;
    const events = await ask("GET", path).catch(() => null);
    const text = JSON.stringify(events);
    if (!events || text === this.last) return;
    this.last = text;
    this.node.hidden = !events.length;
    this.list.replaceChildren(...events.reverse().map(({ time, event, why }) => {
      const at = element("time", "", moment(time));
      at.dateTime = time;
      const line = element("li");
      line.append(at, element("b", "", event), element("span", "", visible(why)));
      return line;
    }));
  }
}
