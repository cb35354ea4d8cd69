"""The rules in the offline page's JavaScript next to the environments, on random games."""

import dataclasses

import numpy as np
import pytest

from jzero.export.node import run_javascript
from jzero.registry import make
from tests.helpers.javascript import needs_node
from tests.helpers.playing import Batched

pytestmark = needs_node
GAMES = 64
REPLAY = """
  const game = GAMES[data.game.name](data.game.options);
  const fail = (i, ply, what, got, expected) => ({ game: i, ply, what, got, expected });
  let compared = 0;
  for (const [i, plies] of data.games.entries()) {
    let state = game.init();
    for (const [ply, expected] of plies.entries()) {
      const legal = Array.from(state.legal.keys()).filter((action) => state.legal[action]);
      const found = {
        legal, player: state.player, rewards: state.rewards, ended: [state.terminated, state.truncated],
      };
      for (const name of Object.keys(found)) {
        if (JSON.stringify(found[name]) !== JSON.stringify(expected[name])) {
          return fail(i, ply, name, found[name], expected[name]);
        }
      }
      const seen = game.observe(state);
      const wrong = expected.seen.findIndex((value, k) => Math.abs(value - seen[k]) > 1e-6);
      if (seen.length !== expected.seen.length || wrong >= 0) return fail(i, ply, "seen", seen[wrong], wrong);
      compared += 1;
      state = game.step(state, expected.action);
    }
  }
  return compared;
"""


def recorded(env, num_games, seed):
    """Random games as JSON: at every ply what the environment says of it, up to the one after the end."""
    batched, rng = Batched(env), np.random.default_rng(seed)
    states, games = batched.init(num_games), [[] for _ in range(num_games)]
    over = np.zeros(num_games, bool)
    while not over.all():
        mask, seen = states.legal_action_mask, batched.observe(states)
        actions = (rng.random(mask.shape) + mask).argmax(axis=1)
        for i in np.flatnonzero(~over):
            games[i].append(
                {
                    "legal": np.flatnonzero(mask[i]).tolist(),
                    "player": int(states.current_player[i]),
                    "rewards": states.rewards[i].tolist(),
                    "ended": [bool(states.terminated[i]), bool(states.truncated[i])],
                    "seen": seen[i].ravel().tolist(),
                    "action": int(actions[i]),
                }
            )
        over = over | states.terminated | states.truncated
        states = batched.step(states, actions)
    return games


@pytest.mark.parametrize(
    ("name", "num_games", "plies"),
    [
        ("tic_tac_toe", 256, 2000),
        ("connect_four", GAMES, 1200),
        ("quoridor?size=5&walls=3", GAMES, 1500),
        ("quoridor?size=3&walls=2&max_plies=12&openspiel_limit=True", GAMES, 300),
        ("quoridor?size=5&walls=4&max_plies=20&distances=False", GAMES, 1000),
    ],
)
def test_the_rules_are_those_of_the_environment(name, num_games, plies):
    env = make(name)
    game = {"name": env.name, "options": dataclasses.asdict(env)}
    compared = run_javascript(REPLAY, {"game": game, "games": recorded(env, num_games, seed=0)})
    assert isinstance(compared, int), compared
    assert compared >= plies


def test_a_finished_game_stays_as_it_is():
    code = """
      const game = ticTacToe();
      let state = game.init();
      for (const action of [0, 3, 1, 4, 2]) state = game.step(state, action);
      const after = game.step(state, 8);
      return [state.rewards, after.rewards, state.terminated, Array.from(after.board)];
    """
    assert run_javascript(code, None) == [[1, -1], [0, 0], True, [-1, -1, -1, 1, 1, 0, 0, 0, 0]]


def test_turned_actions_of_quoridor_are_the_environments():
    code = (
        "const game = quoridor(data); return Array.from({ length: game.numActions }, (_, a) => game.turn(a));"
    )
    env = make("quoridor?size=5&walls=3")
    found = run_javascript(code, {"size": 5, "walls": 3, "distances": True, "openspiel_limit": False})
    assert found == env.turn.tolist()
