"""pgx's games against the games of this repository and against pgx itself."""

import collections
import sys
from xml.etree import ElementTree

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jzero_envs.adapters.pgx import PgxEnv

from jzero import check_env, make
from jzero.env import init_batch, is_finished, observe_batch, random_actions, replace, step_batch
from jzero.env_spec import describe
from jzero.evaluate import Turn, open_spiel_mcts
from jzero.models.rollouts import rollout_model
from jzero.run.build import build_algorithm
from jzero.run.config import TrainConfig
from tests.helpers.playing import Batched, assert_symmetry_keeps_games, random_games

pgx = pytest.importorskip("pgx", exc_type=ImportError)

KEY = jax.random.key(0)
CHANCE = (
    "2048",
    "backgammon",
    "minatar-asterix",
    "minatar-freeway",
    "minatar-seaquest",
    "minatar-space_invaders",
)

LARGE = ("animal_shogi", "chess", "gardner_chess", "shogi")  # slow to trace


@pytest.fixture(scope="module", autouse=True)
def compile_quickly(quick_compilation):
    """Compiling takes longer here than what is computed."""


def without_observation(state):
    return state.replace(observation=())


def play_on(env, num_games, num_plies, seed=0):
    """States, actions, keys and next states of one more ply, after random games of `num_plies`."""

    @jax.jit
    def play(key):
        def ply(states, key):
            action_key, step_key = jax.random.split(key)
            actions = random_actions(states, action_key)
            return step_batch(env, states, actions, step_key), None

        states = init_batch(env, key, num_games)
        states, _ = jax.lax.scan(ply, states, jax.random.split(key, num_plies))
        actions, keys = random_actions(states, key), jax.random.split(key, num_games)
        return states, actions, keys, jax.vmap(env.step)(states, actions, keys)

    return play(jax.random.key(seed))


# The games that this repository has too.


@pytest.mark.parametrize("name", ["connect_four", "tic_tac_toe"])
def test_it_is_the_native_game_but_for_who_sits_where(name):
    native, other = Batched(make(name)), Batched(make(f"pgx:{name}"))
    start = jax.vmap(other.env.init)(jax.random.split(KEY, 200))
    seat = np.asarray(start.current_player)  # of the player who moves first, who is 0 in the native game
    assert 60 < seat.sum() < 140
    states, compared = start, 0
    for now, actions in random_games(native, 200, seed=0):
        going = ~now.terminated
        assert (np.asarray(states.terminated) == now.terminated).all()
        legal, same = np.asarray(states.legal_action_mask), now.legal_action_mask
        assert (legal == same)[going].all()
        assert (np.asarray(states.current_player) == now.current_player ^ seat)[going].all()
        turned = np.where(seat[:, None] == 1, now.rewards[:, ::-1], now.rewards)
        np.testing.assert_array_equal(states.rewards, turned)
        np.testing.assert_array_equal(other.observe(states)[going], native.observe(now)[going])
        compared += going.sum()
        states = other.step(states, actions)
    assert compared > 1_000


# pgx itself.


@pytest.mark.parametrize(
    "name",
    ["othello", *(pytest.param(name, marks=pytest.mark.slow) for name in ("chess", "minatar-breakout"))],
)
def test_a_step_is_pgxs_own(name):
    env, own = make(f"pgx:{name}"), pgx.make(name)
    start = jax.jit(jax.vmap(own.init))(jax.random.split(KEY, 32))
    states = jax.jit(lambda: init_batch(env, KEY, 32))()
    step, own_step = jax.jit(jax.vmap(env.step)), jax.jit(jax.vmap(own.step))
    observe = jax.jit(lambda states: observe_batch(env, states))
    for ply in range(20):
        going = ~np.asarray(is_finished(states))
        chex.assert_trees_all_equal(
            *(jax.tree.map(lambda x, rows=going: x[rows], s) for s in (states, without_observation(start)))
        )
        np.testing.assert_array_equal(
            np.asarray(observe(states))[going], np.asarray(start.observation)[going]
        )
        actions = random_actions(states, jax.random.key(ply))
        keys = jax.random.split(jax.random.key(ply), 32)
        states, start = step(states, actions, keys), own_step(start, actions, keys)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in pgx.available_envs()],
)
def test_a_state_holds_neither_observation_nor_key(name):
    inner = pgx.make(name)
    state = jax.eval_shape(inner.init, KEY)
    assert without_observation(state).observation == ()
    for path, leaf in jax.tree.leaves_with_path(without_observation(state)):
        where = jax.tree_util.keystr(path)
        assert not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key), where
        assert "rng" not in where, where
        assert "key" not in where, where
        assert leaf.dtype != jnp.uint32 or "hash" in where, where


@pytest.mark.parametrize(
    "name", ["minatar-breakout", *(pytest.param(name, marks=pytest.mark.slow) for name in CHANCE)]
)
def test_chance_is_the_keys_alone(name):
    env = make(f"pgx:{name}")
    states, actions, keys, after = play_on(env, 64, 13)  # in backgammon most turns are of two plies
    step = jax.jit(jax.vmap(env.step))
    chex.assert_trees_all_equal(step(states, actions, keys), after)
    others = step(states, actions, jax.random.split(jax.random.key(9), 64))
    pairs = zip(jax.tree.leaves(after), jax.tree.leaves(others), strict=True)
    assert any((one != other).any() for one, other in pairs)


@pytest.mark.slow
def test_an_illegal_action_loses_at_once():
    env = make("pgx:sparrow_mahjong")  # pgx pays the other two 2 each
    state = jax.jit(env.init)(KEY)
    illegal = jnp.argmin(state.legal_action_mask)
    lost = jax.jit(env.step)(state, illegal, KEY)
    mover = int(state.current_player)
    assert lost.rewards.tolist() == [-1.0 if seat == mover else 1.0 for seat in range(3)]
    assert lost.terminated
    assert not lost.legal_action_mask.any()
    again = jax.jit(env.step)(lost, jnp.int32(0), KEY)
    assert not again.rewards.any()
    chex.assert_trees_all_equal(replace(again, rewards=0), replace(lost, rewards=0))


@pytest.mark.parametrize("action", [-1, 9, 100])
def test_an_action_out_of_range_is_illegal(action):
    env = make("pgx:tic_tac_toe")
    state = jax.jit(lambda: env.step(env.init(KEY), jnp.int32(action), KEY))()
    assert state.terminated
    assert state.rewards[jax.jit(env.init)(KEY).current_player] == -1


@pytest.mark.parametrize("name", ["tic_tac_toe", "kuhn_poker"])
def test_check_env_finds_nothing(name):
    check_env(make(f"pgx:{name}"), num_games=16, max_plies=20)


@pytest.mark.slow
@pytest.mark.parametrize("name", pgx.available_envs())
def test_check_env_finds_nothing_in_any_game(name):
    check_env(make(f"pgx:{name}"), num_games=2, max_plies=12)


# Symmetries.


@pytest.mark.parametrize("name", ["tic_tac_toe", pytest.param("go_9x9", marks=pytest.mark.slow)])
def test_turned_and_mirrored_games_are_games(name):
    batched = Batched(make(f"pgx:{name}"))
    assert len({tuple(symmetry.action) for symmetry in batched.env.symmetries}) == 7
    for symmetry in batched.env.symmetries:
        assert_symmetry_keeps_games(batched, symmetry, num_games=4, seed=3)


def test_turned_and_mirrored_games_of_othello_are_games_from_a_turned_start():
    batched = Batched(make("pgx:othello"))
    kept = 0
    for symmetry in batched.env.symmetries:
        start = batched.init(4)
        board = np.zeros_like(start._x.board)
        board[:, symmetry.action[:64]] = start._x.board
        mask = np.zeros_like(start.legal_action_mask)
        mask[:, symmetry.action] = start.legal_action_mask
        kept += (board == start._x.board).all()
        images = replace(start, _x=start._x._replace(board=board), legal_action_mask=mask)
        assert_symmetry_keeps_games(batched, symmetry, 4, seed=4, images=images)
    assert kept == 3


# OpenSpiel.


def test_othello_is_open_spiels_but_for_passes_at_the_end():
    pyspiel = pytest.importorskip("pyspiel")
    env, num_games = make("pgx:othello"), 200
    plies = list(random_games(Batched(env), num_games, seed=0))
    black = plies[0].states.current_player
    rewards = np.sum([states.rewards for states, _ in plies], axis=0)
    compared, passes, early = 0, 0, []
    for game in range(num_games):
        other, history = pyspiel.load_game("othello").new_initial_state(), []
        for states, actions in plies:
            legal = np.flatnonzero(states.legal_action_mask[game]).tolist()
            if states.terminated[game]:
                break
            if other.is_terminal():  # nobody can move: pgx's players still pass
                assert legal == [64]
                early.append((jax.tree.map(lambda leaf, game=game: leaf[game], states), list(history)))
            else:
                assert legal == other.legal_actions()
                assert (states.current_player[game] == black[game]) == (other.current_player() == 0)
                other.apply_action(int(actions[game]))
                passes += legal == [64]
            history.append(int(actions[game]))
            compared += 1
        assert other.is_terminal()
        assert rewards[game, black[game]] == other.returns()[0]
    assert compared > 200 * 58
    assert passes > 50
    assert {-1.0, 0.0, 1.0} == set(rewards.ravel().tolist())
    # There OpenSpiel's search has nothing to do.
    states = jax.tree.map(lambda *leaves: np.stack(leaves), *[state for state, _ in early])
    turn = Turn(states, [history for _, history in early], np.ones(len(early), bool), KEY)
    assert open_spiel_mcts("othello", 10)(turn).tolist() == [64] * len(early)
    assert len(early) >= 4  # two games, two passes each


# Hidden cards.


def drawn_cards(env, state, num_draws):
    draw = jax.jit(jax.vmap(env.resample, in_axes=(None, 0)))
    worlds = draw(state, jax.random.split(jax.random.key(1), num_draws))
    return collections.Counter(map(tuple, np.asarray(worlds._cards).tolist()))


def assert_uniform(counts, weights):
    """The counts are of just these outcomes, in proportion to their weights, within 5 standard deviations."""
    assert set(counts) == set(weights)
    for outcome, weight in weights.items():
        chance, number = weight / sum(weights.values()), sum(counts.values())
        assert abs(counts[outcome] - number * chance) < 5 * np.sqrt(number * chance * (1 - chance))


@pytest.mark.parametrize("mover", [0, 1])
def test_kuhn_pokers_other_card_is_one_of_the_other_two(mover):
    env = make("pgx:kuhn_poker")
    first = jax.jit(env.init)(KEY)
    state = replace(first, current_player=jnp.int32(mover), _cards=jnp.array([1, 1]).at[mover].set(2))
    worlds = [[rank, rank] for rank in (0, 1)]
    for world in worlds:
        world[mover] = 2
    assert_uniform(drawn_cards(env, state, 4_000), {tuple(world): 1 for world in worlds})


@pytest.mark.parametrize(("betting_round", "mover"), [(0, 0), (0, 1), (1, 1)])
def test_leduc_holdems_cards_are_dealt_from_what_is_left(betting_round, mover):
    env = make("pgx:leduc_holdem")
    state = replace(
        jax.jit(env.init)(KEY),
        current_player=jnp.int32(mover),
        _cards=jnp.array([1, 1, 0]),
        _round=jnp.int32(betting_round),
    )
    weights = collections.Counter()
    pack = [0, 0, 1, 1, 2, 2]  # every ordered deal of the cards of a pack of pairs, as pgx deals them
    for deal in np.array(np.meshgrid(*[range(6)] * 3)).reshape(3, -1).T:
        ranks = [pack[card] for card in deal]
        known = ranks[mover] == 1 and (betting_round == 0 or ranks[2] == 0)
        if len(set(deal)) == 3 and known:
            weights[tuple(ranks)] += 1
    assert len(weights) > 2
    assert_uniform(drawn_cards(env, state, 8_000), weights)


@pytest.mark.parametrize("name", ["kuhn_poker", "leduc_holdem"])
def test_a_players_picture_changes_with_the_cards_it_sees_alone(name):
    env = make(f"pgx:{name}")
    step, rng, turned = jax.jit(env.step), np.random.default_rng(0), set()
    for seed in range(12):
        state = jax.device_get(env.init(jax.random.key(seed)))
        while True:
            cards = np.asarray(state._cards)
            public = name == "leduc_holdem" and int(state._round) > 0
            turned.add(public)
            for player in (0, 1):
                sees = {player, 2} if public else {player}
                for place in range(cards.size):
                    other = cards.copy()
                    other[place] = (cards[place] + 1) % 3
                    same = env.svg_for(state.replace(_cards=other), player) == env.svg_for(state, player)
                    assert same == (place not in sees)
                    assert env.svg(state.replace(_cards=other)) != env.svg(state)
            ElementTree.fromstring(env.svg_for(state, 0))
            if bool(state.terminated):
                break
            action = rng.choice(np.flatnonzero(state.legal_action_mask))
            state = jax.device_get(step(state, action, jax.random.key(0)))
    assert turned == ({False, True} if name == "leduc_holdem" else {False})


def test_a_bet_in_kuhn_poker_raises_the_pot():
    env = make("pgx:kuhn_poker")
    state = env.init(jax.random.key(0))
    names = [env.action_name(state, action) for action in range(2)]
    pots = [int(env.step(state, action, jax.random.key(0))._pot.sum()) for action in range(2)]
    assert pots[names.index("bet or call")] == 1
    assert pots[names.index("check or fold")] == 0


@pytest.mark.parametrize(("name", "cards"), [("kuhn_poker", (2, 0)), ("leduc_holdem", (2, 0, 1))])
def test_cards_are_revealed_the_movers_first(name, cards):
    env = make(f"pgx:{name}")
    state = replace(jax.jit(env.init)(KEY), _cards=jnp.array(cards))
    for mover in (0, 1):
        seen = env.reveal(replace(state, current_player=jnp.int32(mover))).argmax(axis=1).tolist()
        assert seen == [cards[mover], cards[1 - mover], *cards[2:]]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in pgx.available_envs()],
)
def test_a_network_is_made_for_every_game(name):
    algorithm = build_algorithm(make(f"pgx:{name}"), config_of(f"pgx:{name}"))
    assert jax.tree.leaves(jax.eval_shape(algorithm.init, KEY))


def config_of(name, algorithm="alphazero"):
    return TrainConfig(env=name, algorithm=algorithm)


UNSEEN = PgxEnv("sparrow_mahjong", 11, 3, pgx.make("sparrow_mahjong"))
"""Three players with hidden tiles that are not drawn."""


def test_a_search_that_would_see_hidden_cards_is_refused():
    with pytest.raises(
        ValueError, match=r"'sparrow_mahjong' holds information hidden from the player to move.*resample"
    ):
        build_algorithm(UNSEEN, config_of("sparrow_mahjong"))
    with pytest.raises(ValueError, match="add resample"):
        rollout_model(describe(UNSEEN))


def test_refusals_name_only_what_would_be_taken():
    """Neither algorithm sends one to the other."""
    with pytest.raises(ValueError, match=r"add resample\(state, key\)$"):
        build_algorithm(UNSEEN, config_of("sparrow_mahjong"))
    with pytest.raises(ValueError, match=r"give .* resample.* use algorithm 'alphazero'"):
        build_algorithm(UNSEEN, config_of("sparrow_mahjong", "muzero"))


def test_hidden_cards_that_can_be_drawn_are_searched_in_worlds():
    algorithm = build_algorithm(make("pgx:leduc_holdem"), config_of("pgx:leduc_holdem"))
    assert algorithm.model.resample is not None


@pytest.mark.parametrize("name", ["pgx:backgammon", "pgx:leduc_holdem"])
def test_a_learned_model_is_refused_where_players_do_not_take_turns(name):
    with pytest.raises(ValueError, match=rf"'{name}' one may move twice in a row; use algorithm 'alphazero'"):
        build_algorithm(make(name), config_of(name, "gumbel_muzero"))


# Names.


def test_unknown_games_are_named_with_the_nearest():
    with pytest.raises(ValueError, match=r"unknown pgx game 'otelo': did you mean 'othello'\? known: 2048, "):
        make("pgx:otelo")


def test_bridge_bidding_says_what_it_needs():
    with pytest.raises(ValueError, match="tables of double-dummy results"):
        make("pgx:bridge_bidding")


def test_a_missing_package_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pgx", None)
    with pytest.raises(ImportError, match=r'pip install "jzero\[envs\]"'):
        make("pgx:othello")
