"""Games at the desk: moves, undo, seats, analyses, files, and what hidden cards are shown."""

import urllib.parse

import jax
import numpy as np
import pytest

from jzero.play.game import Gone, Outdated, Refused
from jzero.play.widget import _answer, program
from tests.helpers.tiny import REPOSITORY
from tests.play.conftest import coder


def moved(desk, game):
    """The game after an agent's move."""
    return list(desk.think(game["id"], game["ply"], 16, move=True))[-1]["game"]


def random_game(desk, seed=0, **options):
    rng = np.random.default_rng(seed)
    game = desk.ask("new", {"seats": ["human"] * desk.rules.spec.num_players, "simulations": 0} | options)
    while not game["over"]:
        action = int(rng.choice([int(action) for action in game["legal"]]))
        game = desk.ask("play", {"game": game["id"], "ply": game["ply"], "action": action})
    return game


@pytest.mark.parametrize(
    "name", ["tic_tac_toe", "connect_four", "quoridor?size=3&walls=1", "blob?players=3&cards=2"]
)
def test_a_game_is_the_environments_own_and_comes_back_from_its_file_and_its_text(desk_of, name):
    desk = desk_of(name)
    game = random_game(desk)
    assert game["outcome"]
    assert len(game["moves"]) == len(game["actions"]) == game["ply"] == len(game["movers"]) - 1
    again = desk_of(name)
    assert again.ask("get", {"game": game["id"]}) == game
    text = desk.ask("text", {"game": game["id"]})["text"]
    loaded = again.ask("load", {"text": text})
    kept = ("seed", "actions", "moves", "over", "outcome", "earned", "board")
    assert [loaded[field] for field in kept] == [game[field] for field in kept]
    state = desk.store.get(game["id"]).state
    assert bool(state.terminated | state.truncated)


def test_undo_goes_back_to_the_humans_turn_and_an_analysis_may_follow_it(desk_of):
    desk = desk_of("tic_tac_toe")
    game = desk.ask("new", {})
    with pytest.raises(Refused, match="no move of yours"):
        desk.ask("undo", {"game": game["id"], "ply": 0})
    game = desk.ask("play", {"game": game["id"], "ply": 0, "action": 4})
    with pytest.raises(Refused, match="not your turn"):
        desk.ask("play", {"game": game["id"], "ply": 1, "action": 0})
    game = moved(desk, game)
    assert game["ply"] == 2
    assert game["values"][1] is not None
    with pytest.raises(Refused, match="b2 is not legal"):
        desk.ask("play", {"game": game["id"], "ply": 2, "action": 4})
    with pytest.raises(Outdated):
        desk.ask("play", {"game": game["id"], "ply": 1, "action": 0})
    game = desk.ask("undo", {"game": game["id"], "ply": 2})
    assert (game["ply"], game["mover"], game["actions"]) == (0, 0, [])


def test_an_analysis_is_the_agents_own_and_its_tree_unfolds(desk_of):
    desk = desk_of("tic_tac_toe")
    actions = [0, 3, 1, 4]  # player 1 wins at c3
    game = desk.ask("new", {"actions": actions})
    said = [answer["thought"] for answer in desk.think(game["id"], 4, 64)]
    assert [thought["simulations"] for thought in said] == [16, 64]
    last = said[-1]
    assert last["action"] == 2
    assert last["value"][0] == pytest.approx(-last["value"][1])
    assert sum(row["visits"] for row in last["actions"]) == 64
    rows = {row["action"]: row for row in last["actions"]}
    assert rows[2]["q"] == 1.0
    children = desk.ask("tree", {"game": game["id"], "ply": 4, "path": []})["children"]
    assert {child["action"]: child["visits"] for child in children} == {
        action: row["visits"] for action, row in rows.items() if row["visits"]
    }
    assert all(child["q"] == pytest.approx(rows[child["action"]]["q"]) for child in children)
    assert not next(child for child in children if child["action"] == 2)["more"]  # the game is over there
    deep = next(child for child in children if child["more"])
    below = desk.ask("tree", {"game": game["id"], "ply": 4, "path": [deep["action"]]})["children"]
    assert sum(child["visits"] for child in below) == deep["visits"] - 1
    assert desk.ask("position", {"game": game["id"], "ply": 4, "path": [2]})["over"]
    assert desk.ask("tree", {"game": game["id"], "ply": 4, "path": [2, 99]})["children"] == []


def test_the_tree_and_the_line_go_through_chance(desk_of):
    desk = desk_of("2048?size=3")
    game = desk.ask("new", {"seed": 3})
    (*_, last) = (answer["thought"] for answer in desk.think(game["id"], 0, 64))

    def ask(method, path):
        return desk.ask(method, {"game": game["id"], "ply": 0, "path": path})

    rows = {row["action"]: row["visits"] for row in last["actions"] if row["visits"]}
    children = ask("tree", [])["children"]
    assert {child["action"]: child["visits"] for child in children} == rows
    best = children[0]
    outcomes = ask("tree", [best["action"]])["children"]
    assert sum(child["visits"] for child in outcomes) == best["visits"]
    assert all(child["chance"] and 0 < child["prior"] < 1 for child in outcomes)
    assert all(child["name"][:5] in ("2 on ", "4 on ") for child in outcomes)
    path = [best["action"], outcomes[0]["action"]]
    moves = ask("tree", path)["children"]
    assert all(not child["chance"] for child in moves)
    boards = [ask("position", [*path, *more])["board"]["url"] for more in ([], [moves[0]["action"]])]
    boards += [ask("position", path[:1])["board"]["url"], game["board"]["url"]]
    assert len(set(boards)) == 4
    line = ask("position", last["variation"])
    assert len(line["names"]) == len(last["variation"]) > 2
    assert line["names"][1][:5] in ("2 on ", "4 on ")
    with pytest.raises(Refused, match="no such line"):
        ask("position", [outcomes[0]["action"]])
    after = desk.rules.env.decide(desk.store.get(game["id"]).state, best["action"])
    taken = 4 + int(np.argmin(desk.rules.env.chance_logits(after)))
    for wrong in ([best["action"], taken], [best["action"], 10_000]):
        assert len(ask("position", wrong)["names"]) == 1
        assert ask("tree", wrong)["children"] == []


def test_the_tree_goes_through_learned_codes_of_chance_without_boards(desk_of):
    desk = desk_of("2048?size=3", agent=coder)
    game = desk.ask("new", {"seed": 3})
    (*_, last) = (answer["thought"] for answer in desk.think(game["id"], 0, 64))
    assert last["unfolds"]

    def ask(method, path):
        return desk.ask(method, {"game": game["id"], "ply": 0, "path": path})

    moves = ask("tree", [])["children"]
    assert sum(child["visits"] for child in moves) == 64
    names = {int(action): name for action, name in game["legal"].items()}
    assert all(child["name"] == names[child["action"]] for child in moves)
    first = moves[0]["action"]
    codes = ask("tree", [first])["children"]
    assert len(codes) > 1
    assert all(child["chance"] and 0 < child["prior"] < 1 for child in codes)
    assert {child["name"] for child in codes} == {f"code {child['action'] - 4}" for child in codes}
    code = codes[0]
    below = ask("tree", [first, code["action"]])["children"]
    assert sum(child["visits"] for child in below) == code["visits"] - 1
    assert {child["name"] for child in below} <= {"up", "right", "down", "left"}
    assert not any(child["chance"] for child in below)
    env, state = desk.rules.env, desk.store.get(game["id"]).state
    assert ask("position", [first])["board"] == desk.rules.board(env.decide(state, first), None)
    path = [first, code["action"], below[0]["action"]]
    for length in (2, 3):
        there = ask("position", path[:length])
        assert there["names"] == [moves[0]["name"], code["name"], below[0]["name"]][:length]
        assert list(there["board"]) == ["text"]
    assert ask("position", [first, 10_000])["names"] == [moves[0]["name"]]
    assert ask("tree", [first, 10_000])["children"] == []
    line = ask("position", last["variation"])
    assert len(line["names"]) == len(last["variation"]) > 2


def test_the_tree_of_hidden_cards_shows_what_the_mover_may_think_and_no_cards(desk_of):
    desk = desk_of("blob?players=3&cards=3")
    game = desk.ask("new", {"seats": ["human", "human", "human"], "seed": 5, "simulations": 0})
    found, shown = desk.store.get(game["id"]), set()
    truth, env = found.states[0], desk.rules.env
    for seed in range(3):
        # Whatever the others hold, the tree and its boards are the same.
        found.states[0] = env.resample(truth, jax.random.key(seed))
        list(desk.think(game["id"], 0, 64))
        lines, texts = [[]], []
        for line in lines:
            children = desk.ask("tree", {"game": game["id"], "ply": 0, "path": line})["children"]
            texts += [(child["name"], child["visits"]) for child in children]
            for child in children[:2]:
                path = [*line, child["action"]]
                there = desk.ask("position", {"game": game["id"], "ply": 0, "path": path})
                assert len(there["names"]) == len(path)
                texts.append(there["board"]["url"])
                if child["more"] and len(lines) < 12:
                    lines.append(path)
        assert max(map(len, lines)) > 1
        shown.add(tuple(texts))
    assert len(shown) == 1


def test_hidden_cards_are_shown_to_nobody_else(desk_of):
    desk = desk_of("blob?players=3&cards=4")
    game = desk.ask("new", {"seats": ["human", "0", "0"], "seed": 3, "simulations": 0})
    env = desk.rules.env
    while not game["over"]:
        state = desk.store.get(game["id"]).state
        shown = desk.rules.picture(state, 0)
        for seat in (1, 2):
            held = [env.action_name(state, card) for card in _hand(env, state, seat)]
            assert not any(f">{card}<" in shown for card in held if card not in _seen(state, env))
        assert game["board"]["url"] == desk.rules.board(state, 0)["url"]
        if game["mover"] == 0:
            worlds = desk.ask("worlds", {"game": game["id"], "ply": game["ply"]})
            assert worlds["drawn"] == 64
            assert sum(world["share"] for world in worlds["worlds"]) <= 1
            action = int(next(iter(game["legal"])))
            game = desk.ask("play", {"game": game["id"], "ply": game["ply"], "action": action})
        else:
            for method in ("worlds", "position"):
                more = {"path": [0]} if method == "position" else {}
                with pytest.raises(Refused, match=r"hidden|believes"):
                    desk.ask(method, {"game": game["id"], "ply": game["ply"]} | more)
            with pytest.raises(Refused, match="hidden cards"):
                list(desk.think(game["id"], game["ply"], 16))
            answers = list(desk.think(game["id"], game["ply"], 16, move=True))
            assert [list(answer) for answer in answers] == [["game"]]
            game = answers[-1]["game"]


@pytest.mark.parametrize("name", ["pgx:kuhn_poker", "pgx:leduc_holdem"])
def test_an_end_that_is_only_imagined_turns_no_cards(desk_of, name):
    pytest.importorskip("pgx")
    desk = desk_of(name)
    env, ended = desk.rules.env, 0
    for seed in range(12):
        game = desk.ask("new", {"seats": ["human", "0"], "seed": seed, "simulations": 0})
        for _ in range(8):
            if game["over"]:
                break
            if game["mover"] == 1:
                assert game["legal"] == {}
                game = list(desk.think(game["id"], game["ply"], 0, move=True))[-1]["game"]
                continue
            found = desk.store.get(game["id"])
            boards = []
            for card in range(3):
                cards = np.array(found.states[-1]._cards)
                cards[1] = card
                found.states[-1] = found.states[-1].replace(_cards=cards)
                there = [
                    desk.ask("position", {"game": game["id"], "ply": game["ply"], "path": [int(action)]})
                    for action in game["legal"]
                ]
                ended += sum(position["over"] for position in there)
                turned = f">{'JQK'[int(cards[0])]}<"
                for position in there:
                    picture = urllib.parse.unquote(position["board"]["url"])
                    assert turned in picture
                    assert picture.count("#8c2f39") >= 1  # the back of a card
                boards.append(env.svg_for(found.states[-1], 0))
            assert len(set(boards)) == 1
            game = desk.ask(
                "play", {"game": game["id"], "ply": game["ply"], "action": int(next(iter(game["legal"])))}
            )
    assert ended > 3


def _hand(env, state, seat):
    bits = np.asarray(state.hands)[seat]
    return [card for card in range(52) if int(bits[card // 26]) >> (card % 26) & 1]


def _seen(state, env):
    """Names of cards that everybody sees: those on the table, and player 0's own."""
    own = _hand(env, state, 0)
    return [
        env.action_name(state, int(card)) for card in [*own, *np.asarray(state.trick).tolist()] if card >= 0
    ]


@pytest.mark.parametrize("name", ["pgx:go_9x9", "jzero_envs.go:Go"])
def test_go_is_saved_as_sgf_and_read_again(desk_of, name):
    pytest.importorskip("pgx")
    desk = desk_of(name)
    game = desk.ask("new", {"seats": ["human", "human"], "actions": [40, 30, 81, 12]})
    sgf = desk.ask("text", {"game": game["id"], "sgf": True})["text"]
    assert sgf == "(;GM[1]FF[4]CA[UTF-8]AP[jzero]SZ[9]KM[7.5]RU[Chinese];B[ee];W[dd];B[];W[db])\n"
    loaded = desk.ask("load", {"text": sgf})
    assert (loaded["actions"], loaded["board"]["url"]) == (game["actions"], game["board"]["url"])
    assert loaded["moves"] == ["E5", "D6", "pass", "D8"]
    with pytest.raises(Refused, match="19, but this one is 9 x 9"):
        desk.ask("load", {"text": sgf.replace("SZ[9]", "SZ[19]")})
    # As other programs write: comments with what looks like moves and ends, variations, spaces.
    comment = r"C[good (Black\]) ;B[aa\] or so)]"
    other = f"(;FF[4]SZ[9]{comment};B[ee]BL[30.5]\n(;W [dd]{comment}\n;B[tt];W[db])(;W[aa];B[bb]))"
    assert desk.ask("load", {"text": other})["actions"] == game["actions"]
    for point in ("e", "eee", "ja", "zz", "E5", "1"):
        with pytest.raises(Refused, match=r"move 1 is .*two letters from a to i"):
            desk.ask("load", {"text": f"(;SZ[9];B[{point}])"})
    assert desk.ask("load", {"text": sgf.replace("SZ[9]", "SZ[9:9]")})["actions"] == game["actions"]
    refused = {
        "(;AB[aa])": "places stones before",
        "(": "holds no game",
        "(;B[": "holds no game",
        "(" * 50_000: "holds no game",
        "(;GM[2];B[ee])": "number 2",
        sgf.replace("KM[7.5]", "KM[6.5]"): r"komi is 6.5, but this game's is 7.5",
        "(;B[ee];W[ee])": r"move 2: 'W\[ee\]' is not a legal move here",
    }
    for text, reason in refused.items():
        with pytest.raises(Refused, match=reason):
            desk.ask("load", {"text": text})
    assert desk.ask("load", {"text": "(;B[ee]" + "\\" * 50_000})["actions"] == [40]
    kept = desk.ask("load", {"text": sgf, "seats": ["0", "human"], "simulations": 16})
    assert (kept["seats"], kept["simulations"]) == (["0", "human"], 16)


@pytest.mark.parametrize("name", ["pgx:chess", "pgx:gardner_chess", "pgx:othello"])
def test_places_to_click_and_names_tell_legal_actions_apart(name):
    pytest.importorskip("pgx")
    import jzero

    env, rng = jzero.make(name), np.random.default_rng(0)
    step = jax.jit(env.step)
    state = env.init(jax.random.key(0))
    for ply in range(40):
        legal = np.flatnonzero(np.asarray(state.legal_action_mask)).tolist()
        if bool(state.terminated):
            break
        names = [env.action_name(state, action) for action in legal]
        assert len(set(names)) == len(names)
        areas = env.areas(state)
        assert {action for action in legal if env.action_name(state, action) != "pass"} <= areas.keys()
        state = step(state, int(rng.choice(legal)), jax.random.key(ply))


@pytest.mark.parametrize(
    ("method", "arguments", "words"),
    [
        ("burn", {}, "no request"),
        ("get", {"game": "../../../etc/p"}, "no such game"),
        ("get", {"game": 3}, "expected a text of at most 40"),
        ("get", {}, "get takes game"),
        ("new", {"seats": ["human"]}, "for each of 2 players"),
        ("new", {"seats": ["human", "7"]}, "for each of 2 players"),
        ("new", {"simulations": 65}, "expected one of 0, 16"),
        ("new", {"simulations": True}, "expected a whole number from 0"),
        ("new", {"actions": [0] * 20_001}, "at most 20000"),
        ("new", {"actions": [0, 0]}, "a3 is not legal"),
        ("new", {"seed": -1}, "expected a whole number from 0"),
        ("load", {"text": "hello"}, "no game"),
        ("load", {"text": "env: chess\nmoves: e4"}, "the game is chess"),
        ("load", {"text": "moves: b2, b2"}, "move 2"),
        ("load", {"text": "(;SZ[9];B[ee])"}, "SGF is for Go"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(desk_of, method, arguments, words):
    with pytest.raises(Refused, match=words):
        desk_of("tic_tac_toe").ask(method, arguments)


def test_many_games_are_kept_on_disk_and_few_in_memory(desk_of):
    desk = desk_of("tic_tac_toe")
    games = [desk.ask("new", {"actions": [number % 9]})["id"] for number in range(80)]
    assert len(desk.store._live) <= 64
    assert [desk.ask("get", {"game": game})["actions"] for game in games] == [[n % 9] for n in range(80)]
    empty = desk.ask("new", {})["id"]
    with pytest.raises(Gone):
        desk_of("tic_tac_toe").ask("get", {"game": empty})  # before its first move


def test_no_path_leaves_the_folder_of_games(desk_of, tmp_path):
    desk = desk_of("tic_tac_toe")
    game = desk.ask("new", {"actions": [0]})["id"]
    outside = tmp_path / f"{game}.json"
    (tmp_path / "play" / f"{game}.json").rename(outside)
    for name in (f"../{game}", str(outside.with_suffix("")), f"../play/../{game}"):
        with pytest.raises(Gone if len(name) <= 40 else Refused):
            desk_of("tic_tac_toe").ask("get", {"game": name})


def test_a_cells_messages_are_answered(desk_of):
    desk, sent = desk_of("tic_tac_toe"), []
    _answer(desk, sent.append, set(), {"id": 1, "method": "new", "body": {}})
    _answer(desk, sent.append, set(), {"id": 2, "method": "get", "body": {"game": "nothing"}})
    assert sent[0]["answer"]["ply"] == 0
    assert sent[1] == {"id": 2, "answer": {"refused": "there is no such game", "status": 404}, "done": True}
    text = program()
    assert "import " not in text.replace("important", "")
    assert text.count("export ") == 1
    for file in (REPOSITORY / "jzero" / "play" / "static").glob("*.js"):
        assert "innerHTML" not in file.read_text(encoding="utf-8")
