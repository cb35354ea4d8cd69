// The page: a game, its controls, and what the agent thinks.
import { Board } from "/static/board.js";
import { element, picture } from "/static/dom.js";
import { bars, branches, curve, line } from "/static/panels.js";

const LEVELS = { 0: "policy alone" };

// What tells positions of all games apart.
const position = (game, ply) => `${game.id} ${game.actions.slice(0, ply)}`;

// A whole number of a link.
function whole(name, text) {
  if (!/^\d+$/.test(text)) throw new Error(`the link has ${name} ${text}, which is no whole number`);
  return Number(text);
}

export async function mount(root, link) {
  const info = await link.ask("info").catch((error) => ({ problem: error.message }));
  if (info.problem) return root.replaceChildren(element("p", { class: "jz-note", role: "alert" }, info.problem));
  const desk = new Desk(root, link, info);
  await desk.begin();
  return desk;
}

class Desk {
  constructor(root, link, info) {
    Object.assign(this, { root, link, info, game: null, at: null, thought: null, thoughtOf: 0, busy: null, wanted: 0 });
    this.board = new Board((action) => this.play(action), (text) => this.say(text, true));
    this.#build();
    (link.keys ?? root).addEventListener("keydown", (event) => this.#key(event));
    document.addEventListener("visibilitychange", () => document.hidden || this.refresh());
    link.place.watch?.(() => this.begin());
    this.timer = setInterval(() => document.hidden || this.busy || this.refresh(), 3000);
  }

  // Ends what goes on in the background.
  leave() {
    this.stop();
    clearInterval(this.timer);
  }

  async begin() {
    const place = this.link.place.read();
    this.stop();
    try {
      if (place.game) await this.take(await this.link.ask("get", { game: place.game }));
      else if (place.moves === undefined) await this.fresh();
      else {
        const actions = place.moves.split(".").filter((move) => move !== "").map((move) => whole("a move", move));
        const options = { seed: whole("seed", place.seed ?? "0"), actions, ...this.#chosen() };
        await this.take(await this.link.ask("new", options));
      }
    } catch (error) {
      await this.fresh();
      this.say(`${error.message}: this is a new game`, true);
    }
  }

  // The seats and the strength that are chosen on the page.
  #chosen() {
    return { seats: this.seats.map((select) => select.value), simulations: Number(this.level.value) };
  }

  fresh(options = {}) {
    return this.ask("new", { ...this.#chosen(), ...options });
  }

  // A request whose answer is the game. What is refused is said, and the board stays as it is.
  async ask(method, body) {
    this.stop();
    try {
      await this.take(await this.link.ask(method, body));
    } catch (error) {
      if (error.status === 409 || error.status === 404) await this.refresh(true);
      this.#fail(error);
    }
  }

  // Says what went wrong; a server that does not answer is asked for the game until it does.
  #fail(error) {
    this.lost ||= error.status === 0;
    this.say(error.message, true);
  }

  async refresh(now = false) {
    const shown = this.game;
    if (!shown) return;
    try {
      const game = await this.link.ask("get", { game: shown.id });
      if (this.game !== shown) return; // meanwhile there is a newer answer, or another game
      shown.values = game.values;
      const changed = String(game.actions) !== String(shown.actions) || String(game.seats) !== String(shown.seats);
      if (now || changed || this.lost) await this.take(game);
      else this.#lists();
    } catch (error) {
      if (this.game !== shown) return;
      if (error.status === 404) { // the server was started anew before the first move
        await this.fresh({ seed: shown.seed, actions: shown.actions });
      } else this.#fail(error);
    }
  }

  async take(game) {
    this.game = game;
    this.at = game.ply;
    this.lost = false;
    this.link.place.write(game.id);
    this.seats.forEach((select, seat) => { select.value = game.seats[seat]; });
    this.level.value = game.simulations;
    const human = game.seats[game.mover] === "human";
    if (this.thoughtOn !== position(game, game.ply)) this.#hear(null);
    this.draw();
    if (game.over) this.say(`The game is over: ${game.outcome}.`);
    else if (human) this.say(this.info.players === 1 ? "Your move." : `Your move, player ${game.mover + 1}.`);
    if (game.over) return;
    if (!human) this.think(true);
    else if (this.always.checked && game.analysed) this.think(false);
  }

  play(action) {
    const { game } = this;
    if (this.at !== game.ply) return this.look(game.ply);
    if (game.over) return this.say("The game is over. Undo a move, or start a new game.", true);
    if (game.seats[game.mover] !== "human") return this.say("It is not your turn.", true);
    return this.ask("play", { game: game.id, ply: game.ply, action });
  }

  // Analyses the position that is shown; the agent to move also plays.
  think(move) {
    this.stop();
    const { game, at } = this;
    const simulations = Number(this.level.value);
    const agent = Number(move ? game.seats[game.mover] : this.adviser?.value ?? 0);
    const name = this.info.agents[agent];
    this.say(move ? `${name} thinks \u2026` : `${name} analyses \u2026`);
    const body = { game: game.id, ply: at, simulations, agent, move };
    const busy = this.link.think(body, (answer) => {
      if (this.busy !== busy) return;
      if (answer.thought) this.#hear(answer.thought, at, agent);
      if (answer.game) {
        this.busy = null;
        this.take(answer.game);
      } else if (answer.refused) {
        this.busy = null;
        if (answer.status === 409) this.refresh(true);
        else this.#fail({ message: answer.refused, status: answer.status });
      }
    });
    this.busy = busy;
    this.root.classList.add("jz-thinks");
    busy.done.then(() => {
      if (this.busy === busy) this.busy = null;
      if (this.busy) return;
      this.root.classList.remove("jz-thinks");
      if (move) return;
      const best = this.thought?.actions.find((row) => row.action === this.thought.action);
      if (best) this.say(`${name} would play ${best.name}.`);
      this.refresh();
    });
  }

  stop() {
    this.busy?.stop();
    this.busy = null;
    this.root.classList.remove("jz-thinks");
  }

  // Shows the position after `ply` moves.
  async look(ply) {
    this.stop();
    this.at = Math.max(0, Math.min(this.game.ply, ply));
    this.#hear(this.thoughtAt === this.at ? this.thought : null, this.at);
    if (this.at !== this.game.ply) {
      const body = { game: this.game.id, ply: this.at, path: [] };
      const there = await this.link.ask("position", body).catch((error) => this.#fail(error));
      if (!there) return;
      this.board.show(there.board, {}, `the position after ${this.at} moves`);
      this.say(`The position after ${this.at} of ${this.game.ply} moves; click the board to continue.`);
    } else await this.take(this.game);
    this.#lists();
  }

  say(text, alarm = false) {
    this.status.textContent = text;
    this.status.classList.toggle("jz-alarm", alarm);
  }

  draw() {
    const { game } = this;
    const label = `${this.info.env} after ${game.ply} moves${game.ply ? `, the last one ${game.moves.at(-1)}` : ""}`;
    const mine = !game.over && game.seats[game.mover] === "human";
    this.board.show(game.board, mine ? game.legal : {}, label);
    this.note.textContent = game.note;
    this.note.hidden = !game.note;
    const names = mine ? Object.entries(game.legal) : [];
    this.named.replaceChildren(...names.map(([action, name]) =>
      element("button", { type: "button", onclick: () => this.play(Number(action)) }, name)));
    const areas = Object.keys(game.board.areas ?? {});
    const hasAll = names.every(([action]) => areas.includes(action));
    this.named.parentElement.hidden = !names.length;
    if (!hasAll) this.named.parentElement.open = true;
    this.#lists();
  }

  #lists() {
    const { game } = this;
    this.curve.replaceChildren(curve(game.values, this.info.zero_sum, this.at, (ply) => this.look(ply)));
    this.moves.replaceChildren(...game.moves.map((name, ply) =>
      element("li", {}, element("button",
        { type: "button", "aria-current": this.at === ply + 1 ? "step" : null, onclick: () => this.look(ply + 1) }, name))));
    this.moves.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  }

  #hear(thought, at = null, agent = this.thoughtOf) {
    this.thought = thought;
    this.thoughtAt = at;
    this.thoughtOn = at === null ? null : position(this.game, at);
    this.thoughtOf = agent;
    const peek = (action) => this.#peek(action === null ? null : [action]);
    this.bars.replaceChildren(bars(thought,
      { hover: peek, choose: (action) => this.play(action), played: this.game.actions[at] }));
    const total = thought?.actions.reduce((sum, row) => sum + row.visits, 0);
    const shares = thought && this.onBoard.checked
      ? Object.fromEntries(thought.actions.map((row) => [row.action, total ? row.visits / total : row.prior])) : null;
    this.board.mark(shares, thought?.action);
    this.count.textContent = !thought ? "" : thought.simulations ? `${thought.simulations} simulations` : LEVELS[0];
    this.worlds.textContent = thought?.worlds > 1 ? `${thought.worlds} worlds together` : "";
    this.#line(thought);
    this.#tree(thought, at, agent);
  }

  // The principal variation, whose names follow from its position.
  async #line(thought) {
    this.line.replaceChildren(line([], () => {}));
    if (!thought?.variation.length) return;
    const path = thought.variation.slice(0, 12);
    const body = { game: this.game.id, ply: this.thoughtAt, path, agent: this.thoughtOf };
    const there = await this.link.ask("position", body).catch(() => null);
    if (!there || this.thought !== thought) return;
    this.line.replaceChildren(line(there.names, (length) => this.#peek(length && path.slice(0, length))));
  }

  async #tree(thought, at, agent) {
    if (!thought?.unfolds) {
      const text = thought ? "There is no tree to unfold." : "No analysis yet.";
      return this.tree.replaceChildren(element("p", { class: "jz-note" }, text));
    }
    const load = (path) => this.link.ask("tree", { game: this.game.id, ply: at, path, agent });
    const board = (path) => this.link.ask("position", { game: this.game.id, ply: at, path, agent });
    const first = await load([]).catch(() => ({ children: [] }));
    if (this.thought === thought) this.tree.replaceChildren(branches(first.children, [], load, board));
  }

  // Shows a position of the analysis while the pointer is there.
  async #peek(path) {
    this.peeks = path;
    if (!path) {
      this.preview.hidden = true;
      return;
    }
    const ply = this.thoughtAt ?? this.at;
    const body = { game: this.game.id, ply, path, agent: this.thoughtOf };
    const there = await this.link.ask("position", body).catch(() => null);
    if (!there || this.peeks !== path) return;
    this.preview.replaceChildren(picture(there.board, ""), element("figcaption", {}, there.names.join(" ")));
    this.preview.hidden = false;
  }

  #build() {
    const { info } = this;
    const button = (text, title, act) => element("button", { type: "button", title, onclick: act }, text);
    const seat = (number) => {
      const options = [["human", "you"], ...info.agents.map((name, index) => [String(index), name])];
      return element("select", { "aria-label": `player ${number + 1}`, onchange: () => this.#sit() },
        ...options.map(([value, text]) => element("option", { value }, text)));
    };
    this.seats = [...Array(info.players).keys()].map(seat);
    this.seats.forEach((select, number) => { select.value = number || info.players === 1 ? "0" : "human"; });
    if (info.players === 1) this.seats[0].value = "human";
    this.level = element("select", { "aria-label": "strength", onchange: () => this.#sit() },
      ...info.levels.map((level) => element("option", { value: level }, LEVELS[level] ?? `${level} simulations`)));
    this.level.value = info.simulations;
    this.adviser = info.agents.length < 2 ? null : element("select", { "aria-label": "who advises" },
      ...info.agents.map((name, index) => element("option", { value: index }, name)));
    this.always = element("input", { type: "checkbox", onchange: () => this.always.checked && this.look(this.game.ply) });
    this.onBoard = element("input", { type: "checkbox", checked: true, onchange: () => this.#hear(this.thought, this.thoughtAt) });
    this.status = element("p", { class: "jz-status", role: "status", "aria-live": "polite" });
    this.note = element("p", { class: "jz-note", hidden: true });
    this.named = element("div", { class: "jz-named" });
    for (const name of ["curve", "bars", "line", "tree"]) this[name] = element("div", { class: `jz-${name}-panel` });
    this.moves = element("ol", { class: "jz-moves" });
    this.count = element("span", { class: "jz-count" });
    this.worlds = element("span", { class: "jz-count" });
    this.preview = element("figure", { class: "jz-preview", hidden: true });
    this.beliefs = element("div", { class: "jz-beliefs" });
    this.file = element("input", { type: "file", hidden: true, accept: ".txt,.sgf", onchange: () => this.#load() });
    const names = this.seats.map((select, number) =>
      element("label", {}, info.players === 1 ? "plays" : `player ${number + 1}`, select));
    const panel = (title, more, ...content) =>
      element("section", { class: "jz-card" }, element("h2", {}, title, more), ...content);
    const check = (box, text) => element("label", { class: "jz-check" }, box, text);
    const beliefs = !info.worlds ? "" : panel("What it believes", null,
      button("show", "sample possible hidden cards", () => this.#believe()), this.beliefs);
    this.root.replaceChildren(
      element("header", {}, element("h1", {}, info.env), element("p", {}, info.agents.join(" and "))),
      element("div", { class: "jz-desk" },
        element("div", { class: "jz-left" }, this.board.root, this.board.words, this.note, this.status,
          element("div", { class: "jz-buttons" },
            button("New game", "n", () => this.fresh()),
            button("Undo", "u", () => this.#undo()),
            button("Hint", "h", () => this.hint()),
            button("Let it move", "m", () => this.#letItMove())),
          element("details", { class: "jz-details" }, element("summary", {}, "Moves by name"), this.named),
          element("div", { class: "jz-card jz-setup" }, ...names, element("label", {}, "strength", this.level),
            this.adviser ? element("label", {}, "hints by", this.adviser) : "",
            info.players === 2 ? button("Change seats", "", () => this.#swap()) : "")),
        element("div", { class: "jz-right" },
          panel("Evaluation", null, this.curve),
          panel("Analysis", this.count, this.bars,
            check(this.onBoard, "on the board"), check(this.always, "analyse every position of mine")),
          panel("Expected line", null, this.line),
          panel("Tree", this.worlds, this.tree),
          beliefs,
          panel("Game", null, this.moves, element("div", { class: "jz-buttons" },
            button("Save", "as a text file", () => this.#save(false)),
            info.sgf ? button("Save SGF", "for Go programs", () => this.#save(true)) : "",
            button("Load", "a text file or SGF", () => this.file.click()), this.file,
            button("Copy link", "a link that holds the game", () => this.#share()))))),
      this.preview,
    );
  }

  hint() {
    if (this.game.over && this.at === this.game.ply) return this.say("The game is over.", true);
    if (this.game.seats[this.game.mover] !== "human" && this.at === this.game.ply) return undefined;
    return this.think(false);
  }

  #sit() {
    const seats = this.seats.map((select) => select.value);
    return this.ask("sit", { game: this.game.id, seats, simulations: Number(this.level.value) });
  }

  #swap() {
    [this.seats[0].value, this.seats[1].value] = [this.seats[1].value, this.seats[0].value];
    this.#sit();
  }

  #undo() {
    return this.ask("undo", { game: this.game.id, ply: this.game.ply });
  }

  // The agent plays one move in the human's place.
  async #letItMove() {
    const { game } = this;
    if (game.over) return this.say("The game is over.", true);
    if (game.seats[game.mover] !== "human") return undefined; // the agent moves by itself
    this.at = game.ply;
    this.draw();
    this.think(false);
    await this.busy.done;
    if (this.busy !== null || this.game !== game || this.thoughtAt !== game.ply) return undefined;
    if (this.thought) this.play(this.thought.action);
    return undefined;
  }

  async #believe() {
    const { game } = this;
    const found = await this.link.ask("worlds", { game: game.id, ply: game.ply }).catch((error) => ({ problem: error.message }));
    if (found.problem) return this.say(found.problem, true);
    const shown = found.worlds.map((world) => element("figure", {},
      picture(world, "a possible deal"), element("figcaption", {}, `${(100 * world.share).toFixed(0)} %`)));
    this.beliefs.replaceChildren(...shown,
      element("p", { class: "jz-note" }, `${found.different} different deals among ${found.drawn} samples`));
    return undefined;
  }

  async #save(sgf) {
    const found = await this.link.ask("text", { game: this.game.id, sgf }).catch((error) => this.#fail(error));
    if (!found) return;
    const { text, file } = found;
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    element("a", { href: url, download: file }).click();
    URL.revokeObjectURL(url);
  }

  async #load() {
    const text = await this.file.files[0]?.text();
    this.file.value = "";
    if (text !== undefined) await this.ask("load", { text, ...this.#chosen() });
  }

  async #share() {
    const url = this.link.place.link(this.game);
    await navigator.clipboard.writeText(url).then(
      () => this.say("The link is copied."), () => this.say(url));
  }

  #key(event) {
    if (!this.game || event.ctrlKey || event.metaKey || event.altKey || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
    const arrow = { ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" }[event.key];
    const played = arrow && Object.entries(this.game.legal).find(([, name]) => name === arrow);
    const keys = {
      n: () => this.fresh(), u: () => this.#undo(), h: () => this.hint(), m: () => this.#letItMove(),
      ArrowLeft: () => this.look(this.at - 1), ArrowRight: () => this.look(this.at + 1),
    };
    if (played) this.play(Number(played[0]));
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  }
}
