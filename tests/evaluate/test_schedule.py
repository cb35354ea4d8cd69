"""Who meets whom: everyone everyone, or neighbours of a ladder; always a chain of games between any two."""

import pytest

from jzero.evaluate.schedule import ALL_UP_TO, Rung, encounters, neighbours


def ladder(name, iterations):
    return [Rung(name, iteration) for iteration in iterations]


def test_everyone_meets_everyone_and_is_alone_among_them_where_that_differs():
    assert encounters("pairs", "abc", 2) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert encounters("tables", "abc", 2) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert encounters("tables", "ab", 3) == [("a", "b"), ("b", "a")]
    assert encounters("returns", "ab", 1) == [("a", None), ("b", None)]


def test_a_checkpoint_meets_the_two_after_it_and_who_is_no_run():
    rungs = [None, *ladder("run", [30, 10, 20, 40])]
    found = encounters("pairs", ["engine", "30", "10", "20", "40"], 2, rungs=rungs, pairs="neighbours")
    assert found == [
        ("engine", "30"),
        ("engine", "10"),
        ("engine", "20"),
        ("engine", "40"),
        ("30", "10"),
        ("30", "20"),
        ("30", "40"),
        ("10", "20"),
        ("20", "40"),
    ]


def test_at_tables_of_three_neighbours_meet_twice():
    rungs = ladder("run", [1, 2, 3, 4])
    found = encounters("tables", "abcd", 3, rungs=rungs, pairs="neighbours")
    assert ("a", "b") in found
    assert ("b", "a") in found
    assert ("a", "d") not in found
    assert len(found) == 10


def test_many_players_meet_neighbours_unless_all_is_said():
    for count, expected in ((ALL_UP_TO, 45), (ALL_UP_TO + 1, 19)):
        names = [str(number) for number in range(count)]
        rungs = ladder("run", range(count))
        assert len(encounters("pairs", names, 2, rungs=rungs)) == expected
        assert len(encounters("pairs", names, 2, rungs=rungs, pairs="all")) == count * (count - 1) // 2


@pytest.mark.parametrize(
    "rungs",
    [
        [*ladder("a", range(12)), *ladder("b", range(3)), *ladder("c", [7])],
        [None, *ladder("a", range(5))],
        [None, None],
        ladder("a", range(2)),
    ],
)
def test_a_chain_of_games_joins_any_two(rungs):
    pairs = neighbours(rungs)
    reached, more = set(), {0}
    while more:
        reached |= more
        more = {player for pair in pairs if pair & reached for player in pair} - reached
    assert reached == set(range(len(rungs)))
