// The rules of the three games, as the library's environments have them. A state is seen by its player to move:
// {player: 0 or 1, legal: Uint8Array, terminated, truncated, rewards: [of player 0, of player 1], ...}.

const GAMES = { tic_tac_toe: ticTacToe, connect_four: connectFour, quoridor };

function rewardsOf(won, player) {
  if (!won) return [0, 0];
  return player === 0 ? [1, -1] : [-1, 1];
}

// A finished state stays as it is, without rewards.
function keepFinished(step) {
  return (state, action) =>
    state.terminated || state.truncated ? { ...state, rewards: [0, 0] } : step(state, action);
}

// Planes [cells, 2]: the mover's stones, the opponent's.
function stonePlanes(board) {
  const planes = new Float32Array(2 * board.length);
  board.forEach((stone, cell) => {
    if (stone) planes[2 * cell + (stone === 1 ? 0 : 1)] = 1;
  });
  return planes;
}

// Lines of `length` cells on a board, each a list of cells.
function linesOn(rows, columns, length) {
  const lines = [];
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      for (const [down, right] of [[0, 1], [1, 0], [1, 1], [1, -1]]) {
        const [lastRow, lastColumn] = [r + down * (length - 1), c + right * (length - 1)];
        if (lastRow >= rows || lastColumn < 0 || lastColumn >= columns) continue;
        lines.push(Array.from({ length }, (_, i) => (r + down * i) * columns + c + right * i));
      }
    }
  }
  return lines;
}

// A game of stones in a row: `landing(board, action)` is the cell that an action takes, -1 where it is illegal.
function lineGame({ rows, columns, length, numActions, landing }) {
  const lines = linesOn(rows, columns, length);
  const wonBy = (board) => lines.filter((line) => line.every((cell) => board[cell] === 1));
  const legalOn = (board) => Uint8Array.from({ length: numActions }, (_, action) => landing(board, action) >= 0);
  function init() {
    const board = new Int8Array(rows * columns);
    return { board, player: 0, legal: legalOn(board), terminated: false, truncated: false, rewards: [0, 0] };
  }
  function step(state, action) {
    const board = state.board.slice();
    board[landing(board, action)] = 1;
    const won = wonBy(board).length > 0;
    const terminated = won || !board.includes(0);
    return {
      board: board.map((stone) => -stone),
      player: 1 - state.player,
      legal: terminated ? new Uint8Array(numActions) : legalOn(board),
      terminated,
      truncated: false,
      rewards: rewardsOf(won, state.player),
    };
  }
  // Cells as player 0 sees them, and those of finished lines.
  function stones(state) {
    const own = state.player === 0 ? 1 : -1;
    return state.board.map((stone) => stone * own);
  }
  function won(state) {
    return new Set(wonBy(state.board.map((stone) => -stone)).flat());
  }
  return {
    rows,
    columns,
    numActions,
    landing,
    init,
    step: keepFinished(step),
    observe: (state) => stonePlanes(state.board),
    stones,
    won,
  };
}

function ticTacToe() {
  const landing = (board, action) => (board[action] ? -1 : action);
  return { name: "tic_tac_toe", ...lineGame({ rows: 3, columns: 3, length: 3, numActions: 9, landing }) };
}

function connectFour() {
  function landing(board, column) {
    for (let row = 5; row >= 0; row--) if (!board[7 * row + column]) return 7 * row + column;
    return -1;
  }
  return { name: "connect_four", ...lineGame({ rows: 6, columns: 7, length: 4, numActions: 7, landing }) };
}

const DIRECTIONS = [[-1, 0], [0, 1], [1, 0], [0, -1]]; // up, right, down, left

// Quoridor, turned so that the player to move goes up. `walls` are two Uint8Arrays, horizontal and vertical, at the
// anchor M r + c: below the cells (r, c) and (r, c + 1), or right of the cells (r, c) and (r + 1, c).
function quoridor({ size, walls: wallsEach, max_plies: maxPlies, openspiel_limit: isRule, distances }) {
  const [n, m] = [size, size - 1];
  const [cells, anchors] = [n * n, m * m];
  const numActions = cells + 2 * anchors;
  const limit = maxPlies ?? 4 * cells;

  const at = (walls, r, c) => r >= 0 && r < m && c >= 0 && c < m && walls[m * r + c] === 1;

  // For each direction whether the pawn on a cell can leave it: no wall and no edge is there.
  function openWays([horizontal, vertical], cell) {
    const [r, c] = [Math.floor(cell / n), cell % n];
    return [
      r > 0 && !at(horizontal, r - 1, c - 1) && !at(horizontal, r - 1, c),
      c < m && !at(vertical, r - 1, c) && !at(vertical, r, c),
      r < m && !at(horizontal, r, c - 1) && !at(horizontal, r, c),
      c > 0 && !at(vertical, r - 1, c - 1) && !at(vertical, r, c - 1),
    ];
  }

  // Moves from every cell to the row `goal`, pawns ignored; Infinity where there is no way.
  function wayLengths(walls, goal) {
    const lengths = new Array(cells).fill(Infinity);
    const queue = Array.from({ length: n }, (_, c) => n * goal + c);
    for (const cell of queue) lengths[cell] = 0;
    for (const cell of queue) {
      openWays(walls, cell).forEach((isOpen, d) => {
        const next = cell + n * DIRECTIONS[d][0] + DIRECTIONS[d][1];
        if (!isOpen || lengths[next] < Infinity) return;
        lengths[next] = lengths[cell] + 1;
        queue.push(next);
      });
    }
    return lengths;
  }

  function walks({ walls, pawns: [own, other] }) {
    const offsets = DIRECTIONS.map(([r, c]) => n * r + c);
    const [ownOpen, otherOpen] = [openWays(walls, own), openWays(walls, other)];
    const found = [];
    offsets.forEach((offset, i) => {
      if (!ownOpen[i]) return;
      if (own + offset !== other) found.push(own + offset);
      else if (otherOpen[i]) found.push(other + offset); // a jump straight on, or else aside
      else for (const j of [(i + 1) % 4, (i + 3) % 4]) if (otherOpen[j]) found.push(other + offsets[j]);
    });
    return found;
  }

  function fits([horizontal, vertical], isVertical, r, c) {
    if (at(horizontal, r, c) || at(vertical, r, c)) return false;
    if (isVertical) return !at(vertical, r - 1, c) && !at(vertical, r + 1, c);
    return !at(horizontal, r, c - 1) && !at(horizontal, r, c + 1);
  }

  function keepsWays({ walls, pawns: [own, other] }, isVertical, anchor) {
    const changed = walls.map((one) => one.slice());
    changed[isVertical][anchor] = 1;
    return wayLengths(changed, 0)[own] < Infinity && wayLengths(changed, n - 1)[other] < Infinity;
  }

  function legalOf(state) {
    const legal = new Uint8Array(numActions);
    for (const cell of walks(state)) legal[cell] = 1;
    if (state.left[0] === 0) return legal;
    for (const isVertical of [0, 1]) {
      for (let anchor = 0; anchor < anchors; anchor++) {
        const free = fits(state.walls, isVertical, Math.floor(anchor / m), anchor % m);
        if (free && keepsWays(state, isVertical, anchor)) legal[cells + isVertical * anchors + anchor] = 1;
      }
    }
    return legal;
  }

  function init() {
    const state = {
      walls: [new Uint8Array(anchors), new Uint8Array(anchors)],
      pawns: [n * m + (n >> 1), n >> 1],
      left: [wallsEach, wallsEach],
      ply: 0,
      player: 0,
      terminated: false,
      truncated: false,
      rewards: [0, 0],
    };
    return { ...state, legal: legalOf(state) };
  }

  function step(state, action) {
    const walls = state.walls.map((one) => one.slice());
    let [own, other] = state.pawns;
    let [ownLeft, otherLeft] = state.left;
    if (action < cells) own = action;
    else {
      walls[action < cells + anchors ? 0 : 1][(action - cells) % anchors] = 1;
      ownLeft -= 1;
    }
    const ply = state.ply + 1;
    const atLimit = ply >= limit;
    const won = action < cells && own < n && !(isRule && atLimit);
    const terminated = won || (isRule && atLimit);
    const truncated = !isRule && atLimit && !won;
    const after = {
      walls: walls.map((one) => one.reverse()),
      pawns: [cells - 1 - other, cells - 1 - own],
      left: [otherLeft, ownLeft],
      ply,
      player: 1 - state.player,
      terminated,
      truncated,
      rewards: rewardsOf(won, state.player),
    };
    return { ...after, legal: terminated || truncated ? new Uint8Array(numActions) : legalOf(after) };
  }

  function observe({ walls, pawns, left, ply }) {
    const planes = pawns.map((pawn) => (cell) => Number(cell === pawn));
    for (const one of walls) {
      for (const [r, c] of [[-1, -1], [-1, 0], [0, -1], [0, 0]]) {
        planes.push((cell) => Number(at(one, Math.floor(cell / n) + r, (cell % n) + c)));
      }
    }
    const constants = left.map((count) => count / Math.max(wallsEach, 1));
    if (distances) {
      const lengths = [wayLengths(walls, 0), wayLengths(walls, n - 1)];
      const shares = lengths.map((one) => one.map((length) => Math.min(length, 3 * n) / n));
      for (const share of shares) planes.push((cell) => share[cell]);
      constants.push(shares[0][pawns[0]], shares[1][pawns[1]]);
    }
    if (isRule) constants.push(ply / limit);
    for (const constant of constants) planes.push(() => constant);
    const values = new Float32Array(cells * planes.length);
    for (let cell = 0; cell < cells; cell++) {
      planes.forEach((plane, i) => (values[cell * planes.length + i] = plane(cell)));
    }
    return values;
  }

  // The action on the board turned by 180 degrees; its own inverse.
  function turn(action) {
    if (action < cells) return cells - 1 - action;
    const start = action < cells + anchors ? cells : cells + anchors;
    return start + anchors - 1 - (action - start);
  }

  return { name: "quoridor", size, numActions, init, step: keepFinished(step), observe, turn };
}
