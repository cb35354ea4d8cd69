// The page's requests to its server, and the page itself.
import { mount } from "/static/play.js";

const post = (path, body, signal) =>
  fetch(`/api/${path}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal,
  });

async function answerOf(response) {
  const answer = await response.json().catch(() => ({ refused: `the server answers ${response.status}` }));
  if (answer.refused) throw Object.assign(new Error(answer.refused), { status: response.status });
  return answer;
}

const offline = (error) => {
  if (error instanceof TypeError) {
    throw Object.assign(new Error("the server does not answer; restart it to continue the game"), { status: 0 });
  }
  throw error;
};

const link = {
  ask: (method, body = {}) => post(method, body).then(answerOf, offline),
  // Calls `each` with every answer; returns a function that stops.
  think(body, each) {
    const stop = new AbortController();
    const done = (async () => {
      const response = await post("think", body, stop.signal).catch((error) =>
        error.name === "AbortError" ? Promise.reject(error) : offline(error));
      if (!response.ok) return void (await answerOf(response));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = "", part = await reader.read(); !part.done; part = await reader.read()) {
        const events = (text + part.value).split("\n\n");
        text = events.pop();
        events.forEach((event) => each(JSON.parse(event.slice("data: ".length))));
      }
    })().catch((error) => { if (error.name !== "AbortError") each({ refused: error.message, status: error.status }); });
    return { stop: () => stop.abort(), done };
  },
  keys: document,
  // The address holds the game, so that a page that is loaded anew finds it.
  place: {
    read: () => Object.fromEntries(new URLSearchParams(location.hash.slice(1))),
    watch: (changed) => addEventListener("hashchange", changed),
    write: (id) => history.replaceState(null, "", `#game=${id}`),
    link: (game) => `${location.origin}/#seed=${game.seed}&moves=${game.actions.join(".")}`,
  },
};

mount(document.getElementById("desk"), link);
