// The board: a picture, and above it the places to click and what the analysis says of them.
import { element, shape } from "/static/dom.js";

export class Board {
  // `play(action)` is called with a chosen action, `say(text)` with what the person should know.
  constructor(play, say) {
    this.play = play;
    this.say = say;
    this.image = element("img", { class: "jz-picture", alt: "", draggable: "false" });
    this.over = shape("svg", { class: "jz-over", role: "group", "aria-label": "board: arrow keys move, Enter plays" });
    this.choices = element("div", { class: "jz-choices", hidden: true });
    this.root = element("div", { class: "jz-board" }, this.image, this.over, this.choices);
    this.words = element("pre", { class: "jz-words", hidden: true });
    this.over.addEventListener("click", (event) => {
      if (event.target !== this.over) return;
      if (this.#idle()) this.play(-1);
      else this.say("no move starts there");
    });
    this.over.addEventListener("keydown", (event) => this.#key(event));
    this.cursor = null;
  }

  // Shows a position; `names` are those of legal actions, {} where nothing can be played.
  show(board, names, label) {
    this.root.hidden = !board.url;
    this.words.hidden = !board.text;
    this.words.textContent = board.text ?? "";
    this.words.setAttribute("aria-label", label);
    if (!board.url) return;
    this.image.src = board.url;
    this.image.alt = label;
    this.names = names;
    this.areas = board.areas;
    this.chosen = null;
    this.choices.hidden = true;
    const [x, y, width, height] = board.box;
    this.size = Math.min(width, height);
    this.over.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
    this.root.style.aspectRatio = `${width} / ${height}`;
    this.root.style.setProperty("--shape", width / height);
    this.#places();
  }

  // Nothing can be played; whoever is asked to play says why.
  #idle() {
    return !Object.keys(this.names).length;
  }

  // Marks what an analysis says: shares of the search by action.
  mark(shares, best) {
    this.marks = { shares, best };
    this.over.querySelectorAll(".jz-mark").forEach((node) => node.remove());
    if (this.root.hidden || !shares) return;
    for (const [action, share] of Object.entries(shares)) {
      const area = this.areas[action]?.at(-1);
      if (!area || share < 0.01) continue;
      const [x, y, width, height] = area;
      const radius = Math.min(width, height, this.size / 8) * (0.16 + 0.22 * Math.sqrt(share));
      const place = { cx: x + width / 2, cy: y + Math.min(height, width) / 2 };
      const group = shape("g", { class: Number(action) === best ? "jz-mark jz-best" : "jz-mark" });
      group.append(shape("circle", { ...place, r: radius }));
      if (radius > this.size / 60) {
        group.append(shape("text", { x: place.cx, y: place.cy, "font-size": radius * 0.85 }, `${Math.round(100 * share)}`));
      }
      this.over.append(group);
    }
  }

  // The places that can be clicked now: first places of all actions, or the second ones of the chosen first.
  #places() {
    const had = this.over.contains(document.activeElement) ? this.cursor?.key : null;
    this.over.replaceChildren();
    const places = new Map();
    for (const [action, areas] of Object.entries(this.areas)) {
      const area = this.chosen === null ? areas[0] : areas[1];
      if (!area || (this.chosen !== null && String(areas[0]) !== this.chosen)) continue;
      const key = String(area);
      places.set(key, [...(places.get(key) ?? []), Number(action)]);
    }
    const legal = (actions) => actions.some((action) => action in this.names);
    const sorted = [...places].sort((one, other) => legal(one[1]) - legal(other[1]));
    this.nodes = sorted.map(([key, actions]) => {
      const [x, y, width, height] = key.split(",").map(Number);
      const says = actions.filter((action) => action in this.names).map((action) => this.names[action]);
      const node = shape("rect", {
        x, y, width, height, rx: Math.min(width, height) / 8, role: "button", tabindex: -1,
        class: says.length ? "jz-place jz-legal" : "jz-place",
        "aria-label": says.length ? says.join(" or ") : "not legal", "data-actions": actions.join(" "),
      });
      const place = { key, node, actions, x: x + width / 2, y: y + height / 2 };
      node.addEventListener("click", () => this.#choose(place));
      node.addEventListener("focus", () => { this.cursor = place; });
      return place;
    });
    this.over.append(...this.nodes.map((place) => place.node));
    if (this.chosen !== null) {
      const [x, y, width, height] = this.chosen.split(",").map(Number);
      const start = shape("rect", { x, y, width, height, class: "jz-place jz-start" });
      start.addEventListener("click", () => this.#from(null));
      this.over.append(start);
    }
    this.cursor = this.nodes.find((place) => place.key === had) ?? this.nodes.at(-1) ?? null;
    this.cursor?.node.setAttribute("tabindex", 0);
    if (had) this.cursor?.node.focus();
    if (this.marks) this.mark(this.marks.shares, this.marks.best);
  }

  #from(key) {
    this.chosen = key;
    this.choices.hidden = true;
    this.#places();
  }

  #choose({ key, actions }) {
    if (this.#idle()) return this.play(actions[0]);
    if (this.chosen === null && actions.some((action) => this.areas[action].length > 1)) return this.#from(key);
    const legal = actions.filter((action) => action in this.names);
    if (legal.length > 1) return this.#ask(legal);
    this.play(legal[0] ?? actions[0]);
  }

  #ask(actions) {
    this.choices.replaceChildren(...actions.map((action) =>
      element("button", { type: "button", onclick: () => this.play(action) }, this.names[action])));
    this.choices.hidden = false;
    this.choices.firstChild.focus();
  }

  #key(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (event.key === "Escape" && this.chosen !== null) this.#from(null);
    else if ((event.key === "Enter" || event.key === " ") && this.cursor) this.#choose(this.cursor);
    else if (way && this.cursor) {
      // The nearest place in this direction; one aside counts twice.
      const far = (place) => {
        const [right, down] = [place.x - this.cursor.x, place.y - this.cursor.y];
        const along = right * way[0] + down * way[1];
        return along > 1e-6 ? along + 2 * Math.abs(right * way[1] + down * way[0]) : Infinity;
      };
      const next = this.nodes.reduce((best, place) => (far(place) < far(best) ? place : best));
      if (far(next) === Infinity) return;
      this.cursor.node.setAttribute("tabindex", -1);
      next.node.setAttribute("tabindex", 0);
      next.node.focus();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
