// The page in a cell: what asks the desk by messages in place of requests.
import { mount } from "/static/play.js";

export default { render({ model, el }) {
  const waits = new Map();
  let last = 0;
  model.on("msg:custom", ({ id, answer, done }) => { waits.get(id)?.(answer, done); if (done) waits.delete(id); });
  const send = (method, body, each) => { waits.set(++last, each); model.send({ id: last, method, body }); return last; };
  const link = {
    ask: (method, body = {}) => new Promise((resolve, reject) => send(method, body, (answer) =>
      answer.refused ? reject(Object.assign(new Error(answer.refused), { status: answer.status })) : resolve(answer))),
    think(body, each) {
      let id;
      const done = new Promise((resolve) => {
        id = send("think", body, (answer, end) => { if (answer) each(answer); if (end) resolve(); });
      });
      return { stop: () => { waits.delete(id); model.send({ id, method: "stop" }); }, done };
    },
    place: { read: () => ({}), write: () => {}, link: (game) => `seed=${game.seed} moves=${game.moves.join(", ")}` },
  };
  el.classList.add("jz");
  const shown = mount(el, link);
  return () => shown.then((desk) => desk?.leave());
} };
