// What stands beside the board: bars of the actions, the curve, the line, the tree.
import { element, picture, shape } from "/static/dom.js";

const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} %`;

function signed(value) {
  if (value === null) return "";
  const size = Math.abs(value).toFixed(2);
  return Number(size) ? `${value < 0 ? "\u2212" : "+"}${size}` : size;
}

function bar(kind, share, text) {
  const fill = element("i");
  fill.style.width = `${100 * Math.max(0, Math.min(1, share))}%`;
  return element("td", { class: `jz-bar jz-${kind}` }, fill, element("span", {}, text));
}

// A row per action: prior, visits, value. `hover(action or null)` and `choose(action)` are called, where there is
// something to show and to play; `played` is the action that the game went on with.
export function bars(thought, { hover, choose, played } = {}) {
  if (!thought) return element("p", { class: "jz-note" }, "No analysis yet.");
  const total = thought.actions.reduce((sum, row) => sum + row.visits, 0);
  const known = thought.actions.map((row) => row.q).filter((q) => q !== null);
  const [low, high] = known.every((q) => Math.abs(q) <= 1) ? [-1, 1] : [Math.min(...known), Math.max(...known)];
  const rows = thought.actions.slice(0, 12).map((row) => {
    const visits = total ? row.visits / total : 0;
    const kinds = [["jz-best", thought.action], ["jz-played", played]];
    const marks = kinds.filter(([, action]) => action === row.action).map(([name]) => name).join(" ");
    const events = hover ? { onmouseenter: () => hover(row.action), onmouseleave: () => hover(null) } : {};
    const name = choose
      ? element("button", { type: "button", onclick: () => choose(row.action), "aria-label": `play ${row.name}` }, row.name)
      : element("b", {}, row.name);
    return element(
      "tr",
      { class: marks, ...events },
      element("th", { scope: "row" }, name),
      bar("prior", row.prior, percent(row.prior)),
      bar("visits", visits, total ? `${Math.round(row.visits)}` : ""),
      bar("q", row.q === null ? 0 : high > low ? (row.q - low) / (high - low) : 0.5, signed(row.q)),
    );
  });
  const head = ["move", "prior", "visits", "value"].map((name) => element("th", { scope: "col" }, name));
  return element("table", { class: "jz-bars" }, element("thead", {}, element("tr", {}, ...head)), element("tbody", {}, ...rows));
}

// The ends of a curve's axis: -1 and 1, or 0 and 1, or as far as the values go. Zero is among them, and in the middle
// where one player's gain is the other's loss.
export function ends(known, zeroSum) {
  const most = Math.max(1, ...known.map(Math.abs));
  if (zeroSum) return [-most, most];
  return most > 1 ? [Math.min(0, ...known), Math.max(0, ...known)] : [Math.min(0, ...known), 1];
}

// The value of every player over the game; of two whose gains are the other's losses, the first one's.
export function curve(values, zeroSum, now, choose) {
  const width = 300, height = 90, last = Math.max(values.length - 1, 1);
  const seats = values.find((value) => value)?.length ?? 1;
  const lines = [...Array(zeroSum ? 1 : seats).keys()];
  const known = values.filter((value) => value).flatMap((value) => (zeroSum ? value.slice(0, 1) : value));
  const [low, high] = ends(known, zeroSum);
  const at = (ply, value) => [(width * ply) / last, height - 4 - ((height - 8) * (value - low)) / (high - low)];
  const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", class: "jz-curve", role: "img" });
  svg.append(shape("title", {}, known.length ? "the value over the game" : "no value is known yet"));
  if (low < 0) svg.append(shape("line", { x1: 0, x2: width, y1: at(0, 0)[1], y2: at(0, 0)[1], class: "jz-zero" }));
  svg.append(shape("line", { x1: at(now, low)[0], x2: at(now, low)[0], y1: 0, y2: height, class: "jz-now" }));
  for (const seat of lines) {
    const points = values.map((value, ply) => value && at(ply, value[seat])).filter((point) => point);
    svg.append(shape("polyline", { points: points.map((point) => point.join(",")).join(" "), class: `jz-line jz-seat${seat % 6}` }));
    // A dot is the round end of a line, which the curve's width does not stretch.
    points.forEach((point) => svg.append(shape("path", { d: `M${point.join(" ")}h.01`, class: `jz-dot jz-seat${seat % 6}` })));
  }
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    choose(Math.round((last * (event.clientX - box.left)) / box.width));
  });
  const latest = values.findLast((value) => value);
  const words = zeroSum ? "value for player 1" : seats > 1 ? "value of each player" : "value";
  const text = latest ? ` (${(zeroSum ? latest.slice(0, 1) : latest).map(signed).join(", ")})` : "";
  const axis = high > 1 || low < -1 ? `; from ${signed(low)} to ${signed(high)}` : "";
  return element("figure", {}, svg, element("figcaption", {}, words + text + axis));
}

// The principal variation; `hover(number of moves or null)` is called, where there is something to show.
export function line(names, hover) {
  if (!names.length) return element("p", { class: "jz-note" }, "\u2013");
  return element("ol", { class: "jz-line-of-play" }, ...names.map((name, index) => {
    if (!hover) return element("li", {}, name);
    const events = { onmouseenter: () => hover(index + 1), onmouseleave: () => hover(null), onfocus: () => hover(index + 1), onblur: () => hover(null) };
    return element("li", {}, element("button", { type: "button", "aria-label": `the position after ${name}`, ...events }, name));
  }));
}

// Children of a node as a list that unfolds; `load(path)` gives them, `board(path)` a picture.
export function branches(children, path, load, board) {
  const total = children.reduce((sum, child) => sum + child.visits, 0);
  return element("ul", {}, ...children.map((child) => {
    const here = [...path, child.action];
    const below = element("div", { class: "jz-below" });
    const share = element("i");
    share.style.width = `${(100 * child.visits) / total}%`;
    const open = async (event) => {
      if (!event.target.open || below.childElementCount) return;
      const [position, more] = await Promise.all([board(here), child.more ? load(here) : { children: [] }]);
      const drawing = picture(position.board, `the position after ${position.names.join(", ")}`);
      below.replaceChildren(drawing, more.children.length ? branches(more.children, here, load, board) : "");
    };
    return element("li", {}, element("details", { ontoggle: open },
      element("summary", { class: child.chance ? "jz-node jz-chance" : "jz-node" },
        element("b", {}, child.name, child.chance ? element("small", {}, percent(child.prior)) : null), element("span", { class: "jz-share" }, share),
        element("span", { title: "visits" }, `${child.visits}`),
        element("span", { title: "value for the player who moves" }, signed(child.q))),
      below));
  }));
}
