// PUCT over a game and a network (AlphaZero), one simulation at a time. Numbers are rounded to 32 bits where the
// library's are, so that equal scores tie here as they do there.

const round = Math.fround;
const TINY = 1.1754943508222875e-38;

// The log of the sum of exponentials of logits; illegal actions have -Infinity.
function logSumExp(logits) {
  const most = Math.max(...logits);
  if (most === -Infinity) return 0;
  let sum = 0;
  for (const logit of logits) sum += logit > -Infinity ? Math.exp(logit - most) : 0;
  return round(most + round(Math.log(round(sum))));
}

// Logits of the legal actions; of a finished state, which has none, all stay.
function masked(logits, legal) {
  return legal.includes(1) ? logits.map((logit, action) => (legal[action] ? logit : -Infinity)) : logits;
}

function newNode(state, reward, discount, logits, value) {
  const terminal = discount === 0;
  const mass = logSumExp(logits);
  return {
    state,
    reward,
    discount,
    terminal,
    prior: logits.map((logit) => round(Math.exp(round(logit - mass)))),
    visits: 1,
    value: terminal ? 0 : value,
    // Actions by falling prior: those that were tried, in this order, have children.
    order: Array.from(logits.keys())
      .filter((action) => logits[action] > -Infinity)
      .sort((a, b) => logits[b] - logits[a] || a - b),
    children: [],
  };
}

// A tree that holds the root alone. `evaluate` is the network, settings are {pbCInit, pbCBase, epsilon, discount}.
function newTree(game, evaluate, state, settings) {
  const found = evaluate(game.observe(state));
  const logits = masked(found.logits, state.legal);
  const mass = logSumExp(logits);
  const prior = logits.map((logit) => round(Math.log(Math.max(round(Math.exp(round(logit - mass))), TINY))));
  return { game, evaluate, settings, root: newNode(state, 0, 1, masked(prior, state.legal), found.value) };
}

function qvalue(child) {
  return round(child.reward + child.discount * child.value);
}

// The place among a node's actions (in its order) of the greatest score; ties go to the action tried first.
function choose(node, { pbCInit, pbCBase, epsilon }) {
  const qvalues = node.children.map(qvalue);
  const low = Math.min(node.value, ...qvalues);
  const span = Math.max(round(Math.max(node.value, ...qvalues) - low), round(epsilon));
  const pbC = round(pbCInit + round(Math.log(round(round(node.visits + pbCBase + 1) / round(pbCBase)))));
  const exploration = round(round(Math.sqrt(node.visits)) * pbC);
  let best = -Infinity;
  let place = -1;
  node.children.forEach((child, i) => {
    const bonus = round(round(exploration * node.prior[node.order[i]]) / (child.visits + 1));
    const score = round(round(round(qvalues[i] - low) / span) + bonus);
    if (score > best) [best, place] = [score, i];
  });
  const next = node.children.length;
  const open = next < node.order.length ? round(exploration * node.prior[node.order[next]]) : -Infinity;
  return open > best ? next : place;
}

function expand(tree, node, action) {
  const after = tree.game.step(node.state, action);
  const sign = after.player === node.state.player ? 1 : -1;
  const discount = after.terminated ? 0 : sign * tree.settings.discount;
  const { logits, value } = tree.evaluate(tree.game.observe(after));
  return newNode(after, after.rewards[node.state.player], discount, masked(logits, after.legal), value);
}

// Follows the best scores to a leaf, adds a node there unless the game is over, and backs its value up.
function simulate(tree) {
  const path = [tree.root];
  let node = tree.root;
  for (;;) {
    const place = choose(node, tree.settings);
    const isNew = place === node.children.length;
    if (isNew) node.children.push(expand(tree, node, node.order[place]));
    node = node.children[place];
    path.push(node);
    if (!isNew && node.terminal) node.visits += 1;
    if (isNew || node.terminal) break;
  }
  let { value } = node;
  for (let i = path.length - 1; i > 0; i--) {
    const parent = path[i - 1];
    value = round(path[i].reward + path[i].discount * value);
    parent.value = round(round(round(parent.value * parent.visits) + value) / (parent.visits + 1));
    parent.visits += 1;
  }
}

// What a search found: for each action {prior, visits, value}, the best action, and the value for the player to move.
function summary(tree) {
  const { root, game } = tree;
  const actions = Array.from({ length: game.numActions }, (_, action) => ({
    prior: root.prior[action],
    visits: 0,
    value: 0,
  }));
  root.children.forEach((child, i) => {
    actions[root.order[i]].visits = child.visits;
    actions[root.order[i]].value = qvalue(child);
  });
  const key = root.children.length ? "visits" : "prior";
  let best = root.order[0];
  actions.forEach((found, action) => {
    if (root.state.legal[action] && found[key] > actions[best][key]) best = action;
  });
  // Of equals the first.
  best = actions.findIndex((found, action) => root.state.legal[action] && found[key] === actions[best][key]);
  const total = actions.reduce((sum, found) => sum + found.visits, 0);
  const value = total
    ? actions.reduce((sum, found) => sum + found.visits * found.value, 0) / total
    : root.value;
  return { actions, best, value };
}
