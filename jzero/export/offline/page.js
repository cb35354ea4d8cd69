// The page: a game between a human and the search, and what the search found.

const STRENGTHS = [
  [0, "Instinct", "the policy without search"],
  [16, "16", "16 simulations per move"],
  [64, "64", "64 simulations per move"],
  [400, "400", "400 simulations per move"],
];
const HINT_SIMULATIONS = 64;
const SLICE = 12; // milliseconds of search between two looks at what the human does
const ROWS = 9; // actions shown

function start(data) {
  const game = GAMES[data.game.name](data.game.options);
  const evaluate = makeNetwork(data.network);
  const table = { game, evaluate, settings: data.search, simulations: 64, seat: 0, found: null, hint: null };
  const parts = makeParts(data);
  connect(table, parts);
  newGame(table, parts);
}

// The page's elements.
function makeParts(data) {
  const root = document.getElementById("game");
  const choice = (name, legend, options) =>
    `<fieldset class="choice"><legend>${legend}</legend>${options
      .map(
        ([value, text, title], i) =>
          `<label title="${title}"><input type="radio" name="${name}" value="${value}" ${
            (name === "strength" ? value === 64 : i === 0) ? "checked" : ""
          }><span>${text}</span></label>`,
      )
      .join("")}</fieldset>`;
  const gumbel = data.trainedBy === "puct" ? "" : ` (with ${data.trainedBy} in training)`;
  root.dataset.game = data.game.name;
  root.innerHTML = `
<header><p>jzero</p><h1>${root.dataset.title}</h1>
<p>Play against a trained agent. Nothing leaves this page, and it works offline.</p></header>
<div class="table">
<section class="card play" aria-label="Board">
<p class="status" id="status" role="status" aria-live="polite"></p>
<svg id="board" class="board-svg" role="group" aria-label="${root.dataset.title} board"></svg>
<div class="buttons">
<button id="undo">Undo</button><button id="hint-button">Hint</button><button id="new" class="primary">New game</button>
</div></section>
<div class="aside">
<section class="card" aria-label="Settings">
${choice("seat", "You play", [[0, "First", "you move first"], [1, "Second", "the agent moves first"]])}
${choice("strength", "Simulations per move", STRENGTHS)}
</section>
<section class="card" aria-label="Result of the search">
<h2 id="found-title">The search</h2>
<div id="found"></div>
</section></div></div>
<p class="note keys">Keys: arrows choose a place, Enter plays it; U undoes a move, H gives a hint, N starts a game.</p>
<p class="note">The agent's network has ${data.numWeights.toLocaleString("en")} weights of ${data.bits} bits and searches
with PUCT${gumbel}. <span id="note"></span></p>`;
  document.getElementById("note").textContent = data.note;
  const named = ["status", "board", "undo", "hint-button", "new", "found", "found-title"];
  return Object.fromEntries(named.map((id) => [id.replace("-button", ""), document.getElementById(id)]));
}

function connect(table, parts) {
  parts.new.onclick = () => newGame(table, parts);
  parts.undo.onclick = () => undo(table, parts);
  parts.hint.onclick = () => giveHint(table, parts);
  for (const input of document.querySelectorAll("input[name=strength]")) {
    input.onchange = () => (table.simulations = Number(input.value));
  }
  for (const input of document.querySelectorAll("input[name=seat]")) {
    input.onchange = () => {
      table.seat = Number(input.value);
      newGame(table, parts);
    };
  }
  const chosen = (event) => event.target.closest("[data-action]");
  parts.board.onclick = (event) => {
    if (chosen(event)) humanPlays(table, parts, Number(chosen(event).dataset.action));
  };
  parts.board.onkeydown = (event) => {
    const target = chosen(event);
    if (target && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      humanPlays(table, parts, Number(target.dataset.action));
    } else if (target && event.key.startsWith("Arrow")) {
      event.preventDefault();
      nextTarget(parts, target, event.key)?.focus();
    }
  };
  document.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const does = { u: undo, h: giveHint, n: newGame }[event.key.toLowerCase()];
    if (does) does(table, parts);
  };
}

// The nearest place in the direction of an arrow key.
function nextTarget(parts, from, key) {
  const [dx, dy] = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[key];
  const place = (target) => [Number(target.dataset.x), Number(target.dataset.y)];
  const [x, y] = place(from);
  let best = null;
  let least = Infinity;
  for (const target of parts.board.querySelectorAll("[data-action]")) {
    const [right, down] = [place(target)[0] - x, place(target)[1] - y];
    const [along, across] = [right * dx + down * dy, Math.abs(right * dy) + Math.abs(down * dx)];
    const distance = along + 3 * across;
    if (along > 0 && distance < least) [least, best] = [distance, target];
  }
  return best;
}

const now = (table) => table.history[table.history.length - 1].state;
const isOver = (state) => state.terminated || state.truncated;
const isHumansTurn = (table) => !table.busy && !isOver(now(table)) && now(table).player === table.seat;

function newGame(table, parts) {
  table.history = [{ state: table.game.init(), action: null }];
  table.found = null;
  goOn(table, parts);
}

// Shows the position, and lets the agent move if it is its turn.
async function goOn(table, parts) {
  table.hint = null;
  table.busy = null;
  show(table, parts);
  if (isOver(now(table)) || now(table).player === table.seat) return;
  const found = await search(table, parts, table.simulations);
  if (!found) return;
  table.found = { ...found, state: now(table), title: "The agent's last move" };
  play(table, parts, found.best);
}

function play(table, parts, action) {
  table.history.push({ state: table.game.step(now(table), action), action });
  goOn(table, parts);
}

function humanPlays(table, parts, action) {
  if (isHumansTurn(table) && now(table).legal[action]) play(table, parts, action);
}

// Back to the human's last choice.
function undo(table, parts) {
  const { history, seat } = table;
  const last = history.findLastIndex(({ state }, i) => i < history.length - 1 && state.player === seat);
  if (last < 0) return;
  history.length = last + 1;
  table.found = null;
  goOn(table, parts);
}

async function giveHint(table, parts) {
  if (!isHumansTurn(table)) return;
  const found = await search(table, parts, Math.max(table.simulations, HINT_SIMULATIONS));
  if (!found) return;
  table.busy = null;
  table.hint = found.best;
  table.found = { ...found, state: now(table), title: "Hint: your moves" };
  show(table, parts);
}

// What a search of the position finds; null where something else has begun meanwhile.
async function search(table, parts, simulations) {
  const token = (table.busy = {});
  show(table, parts);
  await pause();
  if (table.busy !== token) return null;
  const tree = newTree(table.game, table.evaluate, now(table), table.settings);
  let until = performance.now() + SLICE;
  for (let i = 0; i < simulations; i++) {
    simulate(tree);
    if (performance.now() < until) continue;
    await pause();
    if (table.busy !== token) return null;
    until = performance.now() + SLICE;
  }
  return { ...summary(tree), simulations };
}

const pause = () => new Promise((resolve) => setTimeout(resolve));

function show(table, parts) {
  const state = now(table);
  const [old, focused] = [document.activeElement, document.activeElement?.dataset?.action];
  const inBoard = parts.board.contains(old);
  const { action } = table.history[table.history.length - 1];
  const marks = { last: seenAs(table, action, 1 - state.player), hint: seenAs(table, table.hint, state.player) };
  const { board, targets, viewBox } = drawBoard(table.game, state, table.seat, marks);
  const free = isHumansTurn(table) ? targets : [];
  parts.board.setAttribute("viewBox", viewBox);
  parts.board.innerHTML = board + free.map(targetMarkup).join("");
  parts.status.textContent = statusOf(table, state);
  parts.status.classList.toggle("thinking", Boolean(table.busy));
  parts.undo.disabled = table.history.length < 2 + table.seat;
  parts.hint.disabled = !isHumansTurn(table);
  showFound(table, parts);
  if (inBoard || table.keepFocus) {
    table.keepFocus = !free.length;
    const again = parts.board.querySelector(`[data-action="${focused}"]`);
    (again ?? parts.board.querySelector("[data-action]"))?.focus();
  }
}

function targetMarkup({ action, label, shape, x, y }, i) {
  return `<g class="target" role="button" tabindex="${i ? -1 : 0}" aria-label="${label}" data-action="${action}"
data-x="${x}" data-y="${y}"><title>${label}</title>${shape}</g>`;
}

// An action as the board that is drawn numbers it; Connect Four's last one is the cell where the stone lies.
function seenAs(table, action, player) {
  if (action === null) return undefined;
  const { game, history, seat } = table;
  if (game.name === "quoridor") return player === seat ? action : game.turn(action);
  if (game.name === "tic_tac_toe" || player === now(table).player) return action;
  return game.landing(history[history.length - 2].state.board, action);
}

function statusOf(table, state) {
  if (isOver(state)) {
    const reward = state.rewards[table.seat];
    if (reward) return reward > 0 ? "You won." : "The agent won.";
    return state.truncated ? "Nobody won: the game took too long." : "A draw.";
  }
  if (state.player !== table.seat) return "The agent thinks …";
  if (table.busy) return "Looking for a hint …";
  return table.hint === null ? "Your turn." : `Hint: ${actionName(table.game, state, table.hint, table.seat)}.`;
}

// Bars of what a search found for each action, the most visited first.
function showFound(table, parts) {
  const { found, game } = table;
  parts["found-title"].textContent = found ? found.title : "The search";
  if (!found) {
    parts.found.innerHTML = `<p class="note">Prior, visits and value of each action appear here once the agent has moved
or you have asked for a hint.</p>`;
    return;
  }
  const { state, actions, simulations, value } = found;
  const rows = [...actions.keys()]
    .filter((action) => state.legal[action])
    .sort((a, b) => actions[b].visits - actions[a].visits || actions[b].prior - actions[a].prior);
  const who = state.player === table.seat ? "You win" : "The agent wins";
  const cell = (share, text, name) =>
    `<td><span class="bar-cell ${name}"><i style="width:${(100 * share).toFixed(1)}%"></i><b>${text}</b></span></td>`;
  const line = (action) => {
    const { prior, visits, value: q } = actions[action];
    const name = actionName(game, state, action, table.seat);
    return `<tr class="${action === found.best ? "best" : ""}"><th scope="row">${name}</th>${cell(
      prior, percent(prior), "prior",
    )}${cell(visits / Math.max(simulations, 1), simulations ? visits : "–", "visits")}${cell(
      visits ? (q + 1) / 2 : 0, visits ? signed(q) : "–", "value",
    )}</tr>`;
  };
  const hidden = rows.length - ROWS;
  parts.found.innerHTML = `<p class="expects">${who} <b>${percent((value + 1) / 2)}</b> of the time, the search expects
<span>(value ${signed(value)}, ${simulations || "no"} simulations)</span></p>
<table class="found"><thead><tr><th scope="col">Action</th><th scope="col">Prior</th><th scope="col">Visits</th>
<th scope="col">Value</th></tr></thead><tbody>${rows.slice(0, ROWS).map(line).join("")}</tbody></table>
${hidden > 0 ? `<p class="note">and ${hidden} more</p>` : ""}`;
}

const percent = (share) => `${Math.round(100 * share)} %`;
const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
