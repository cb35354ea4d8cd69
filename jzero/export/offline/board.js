// Boards as SVG: a picture, and over it the places that can be chosen, as buttons.
// `view` is the human's seat: its pawn goes up, its stones are those of player 0 or 1.

const LETTERS = "abcdefghi";

// {board: markup, targets: [{action, label, shape: markup, x, y}], viewBox}. `actions` are those that may be chosen, as
// the player to move numbers them; `marks` are {last, hint} actions on the board as it is drawn, or undefined.
function drawBoard(game, state, view, marks) {
  const draw = { tic_tac_toe: drawTicTacToe, connect_four: drawConnectFour, quoridor: drawQuoridor };
  return draw[game.name](game, state, view, marks);
}

// What an action is called, of the player who moves in `state` and as `view` sees the board.
function actionName(game, state, action, view) {
  if (game.name === "connect_four") return `column ${action + 1}`;
  if (game.name === "tic_tac_toe") return `${LETTERS[action % 3]}${3 - Math.floor(action / 3)}`;
  const { size } = game;
  const seen = state.player === view ? action : game.turn(action);
  const place = (r, c) => `${LETTERS[c]}${size - r}`;
  if (seen < size * size) return place(Math.floor(seen / size), seen % size);
  const m = size - 1;
  const anchor = (seen - size * size) % (m * m);
  const [r, c] = [Math.floor(anchor / m), anchor % m];
  return seen < size * size + m * m
    ? `wall under ${place(r, c)} and ${place(r, c + 1)}`
    : `wall right of ${place(r, c)} and ${place(r + 1, c)}`;
}

function box(x, y, width, height, name, radius = 4) {
  return `<rect class="${name}" x="${x}" y="${y}" width="${width}" height="${height}" rx="${radius}"/>`;
}

function drawTicTacToe(game, state, view, { last, hint }) {
  const won = game.won(state);
  const parts = [];
  const targets = [];
  game.stones(state).forEach((stone, cell) => {
    const [x, y] = [100 * (cell % 3), 100 * Math.floor(cell / 3)];
    const mark = won.has(cell) ? "won" : cell === last ? "last" : cell === hint ? "hint" : "";
    parts.push(box(x + 4, y + 4, 92, 92, `cell ${mark}`, 10));
    if (stone === 1) parts.push(`<path class="cross" d="M${x + 28} ${y + 28}l44 44m0 -44l-44 44"/>`);
    if (stone === -1) parts.push(`<circle class="nought" cx="${x + 50}" cy="${y + 50}" r="25"/>`);
    if (state.legal[cell]) {
      const label = `${LETTERS[cell % 3]}${3 - Math.floor(cell / 3)}`;
      targets.push({ action: cell, label, shape: box(x + 4, y + 4, 92, 92, "area", 10), x: x + 50, y: y + 50 });
    }
  });
  return { board: parts.join(""), targets, viewBox: "0 0 300 300" };
}

function drawConnectFour(game, state, view, { last, hint }) {
  const won = game.won(state);
  const parts = [box(0, 0, 432, 372, "frame", 18)];
  game.stones(state).forEach((stone, cell) => {
    const [x, y] = [36 + 60 * (cell % 7), 36 + 60 * Math.floor(cell / 7)];
    const kind = stone === 1 ? "first" : stone === -1 ? "second" : "hole";
    parts.push(`<circle class="${kind}" cx="${x}" cy="${y}" r="25"/>`);
    if (won.has(cell) || cell === last) {
      parts.push(`<circle class="ring" cx="${x}" cy="${y}" r="${won.has(cell) ? 15 : 7}"/>`);
    }
  });
  const targets = [];
  for (let column = 0; column < 7; column++) {
    if (!state.legal[column]) continue;
    const landing = game.landing(state.board, column);
    const [x, y] = [36 + 60 * column, 36 + 60 * Math.floor(landing / 7)];
    const kind = state.player === 0 ? "first" : "second";
    const shape =
      box(x - 30, 0, 60, 372, "area", 8) +
      `<circle class="ghost ${kind} ${column === hint ? "hint" : ""}" cx="${x}" cy="${y}" r="25"/>`;
    targets.push({ action: column, label: `column ${column + 1}`, shape, x, y: 186 });
  }
  return { board: parts.join(""), targets, viewBox: "0 0 432 372" };
}

function drawQuoridor(game, state, view, marks) {
  const { size } = game;
  const [m, cells] = [size - 1, size * size];
  const [pitch, side] = [100, 80];
  const mine = state.player === view;
  const toView = (action) => (mine ? action : game.turn(action));
  const origin = (r, c) => [10 + pitch * c, 50 + pitch * r];
  const wallBox = (isVertical, r, c, name) => {
    const [x, y] = origin(r, c);
    return isVertical
      ? box(x + side + 4, y + 2, 12, pitch + side - 4, name, 5)
      : box(x + 2, y + side + 4, pitch + side - 4, 12, name, 5);
  };
  // Anchors as the player to move has them, or turned.
  const walls = state.walls.map((one) => (mine ? one : one.slice().reverse()));
  const pawns = mine ? state.pawns : [cells - 1 - state.pawns[1], cells - 1 - state.pawns[0]];
  const left = mine ? state.left : [state.left[1], state.left[0]];
  const parts = [box(0, 40, pitch * size, pitch * size, "frame", 14)];
  for (let cell = 0; cell < cells; cell++) {
    const [x, y] = origin(Math.floor(cell / size), cell % size);
    const mark = cell === marks.last ? "last" : cell === marks.hint ? "hint" : "";
    parts.push(box(x, y, side, side, `cell ${mark} ${cell < size ? "goal" : ""}`, 8));
  }
  walls.forEach((one, isVertical) => {
    one.forEach((there, anchor) => {
      const action = cells + isVertical * m * m + anchor;
      const name = action === marks.last ? "wall last" : "wall";
      if (there) parts.push(wallBox(isVertical, Math.floor(anchor / m), anchor % m, name));
    });
  });
  pawns.forEach((pawn, i) => {
    const [x, y] = origin(Math.floor(pawn / size), pawn % size);
    const kind = (i === 0) === (view === 0) ? "first" : "second";
    parts.push(`<circle class="pawn ${kind}" cx="${x + side / 2}" cy="${y + side / 2}" r="26"/>`);
  });
  const bottom = 40 + pitch * size + 30;
  const count = (number) => `${number} wall${number === 1 ? "" : "s"} left`;
  parts.push(`<text x="12" y="${bottom}">You: ${count(left[0])}</text>`);
  parts.push(`<text x="12" y="26">Agent: ${count(left[1])}</text>`);
  const targets = [];
  state.legal.forEach((legal, action) => {
    if (!legal) return;
    const seen = toView(action);
    const label = actionName(game, state, action, view);
    const hinted = seen === marks.hint ? "hint" : "";
    if (seen < cells) {
      const [x, y] = origin(Math.floor(seen / size), seen % size);
      const dot = `<circle class="ghost dot ${hinted}" cx="${x + side / 2}" cy="${y + side / 2}" r="11"/>`;
      const shape = box(x, y, side, side, "area", 8) + dot;
      targets.push({ action, label: `walk to ${label}`, shape, x: x + side / 2, y: y + side / 2 });
      return;
    }
    const isVertical = seen >= cells + m * m ? 1 : 0;
    const anchor = (seen - cells) % (m * m);
    const [r, c] = [Math.floor(anchor / m), anchor % m];
    const [x, y] = origin(r, c);
    // A wall is chosen by the gap beside its first cell; the last one by that beside its second too.
    const long = (isVertical ? r : c) === m - 1 ? pitch + side : side;
    const area = isVertical ? box(x + side - 3, y, 26, long, "area gap") : box(x, y + side - 3, long, 26, "area gap");
    const shape = area + wallBox(isVertical, r, c, `ghost wall ${hinted}`);
    targets.push({ action, label, shape, x: x + (isVertical ? side + 10 : side / 2), y: y + (isVertical ? side / 2 : side + 10) });
  });
  return { board: parts.join(""), targets, viewBox: `0 0 ${pitch * size} ${pitch * size + 90}` };
}
