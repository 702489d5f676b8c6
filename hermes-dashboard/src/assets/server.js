// Requests to the server. The page stores the token itself: a cookie would be sent to every port of the host.

// Two dashboards may share an origin, each below a path of its own.
const KEY = `hermes.token ${location.pathname}`;

/** An error response of the server. */
export class Refused extends Error {
  constructor(status, body) {
    super(body?.error ?? `the server answered ${status}`);
    this.status = status;
    this.causes = body?.causes ?? [];
    this.hint = body?.hint ?? "";
  }
}

export const token = {
  get: () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY),
  keep(value, remember) {
    (remember ? localStorage : sessionStorage).setItem(KEY, value);
  },
  forget() {
    sessionStorage.removeItem(KEY);
    localStorage.removeItem(KEY);
  },
};

async function request(method, path, body, signal) {
  const headers = { Authorization: `Bearer ${token.get() ?? ""}` };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(`api/v1/${path}`, {
    method, headers, signal,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store", credentials: "omit", redirect: "error",
  });
  if (response.ok) return response;
  throw new Refused(response.status, await response.json().catch(() => null));
}

/** Sends a request and returns the JSON of its response. */
export async function ask(method, path, body) {
  return (await request(method, path, body)).json();
}

/** Longer than the heartbeat interval of the server, in milliseconds. */
const SILENCE = 40_000;

/** Yields the events of a stream, until the server or `signal` ends it. */
export async function* stream(path, signal) {
  const gone = new AbortController();
  const end = () => gone.abort();
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  let silence = setTimeout(end, SILENCE);
  try {
    const response = await request("GET", path, undefined, gone.signal);
    yield { event: "open" };
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(end, SILENCE);
      text += value;
      const events = text.split("\n\n");
      text = events.pop();
      for (const lines of events) {
        const field = (name) => lines.split("\n").find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const data = field("data");
        if (data !== undefined) yield { event: field("event"), data: JSON.parse(data) };
      }
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", end);
    end();
  }
}
