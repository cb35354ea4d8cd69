"""The rules of `tests.helpers.env_examples.DiceRace`, slow and obvious, for `tests.oracles.expectimax`."""

from typing import NamedTuple

from tests.oracles.expectimax import Game, Outcome

STEP, THROW, GAMBLE = range(3)
DICE = ((0.5, 0), (0.3, 2), (0.2, 3))


class Race(NamedTuple):
    """A position."""

    places: tuple[int, ...]
    mover: int
    ply: int
    over: bool


def dice_race(num_players: int, goal: int, limit: int) -> Game:
    def shares(player: int) -> list[float]:
        others = -1.0 if num_players == 2 else 0.0
        return [1.0 if seat == player else others for seat in range(num_players)]

    def moved(race: Race, steps: int, price: float, again: bool) -> tuple[tuple[float, ...], Race]:
        places = list(race.places)
        places[race.mover] = max(places[race.mover] + steps, 0)
        won = places[race.mover] >= goal
        earned = won - price
        rewards = tuple(earned * share for share in shares(race.mover))
        player = race.mover if again else (race.mover + 1) % num_players
        ply = race.ply + 1
        return rewards, Race(tuple(places), player, ply, won or ply == limit)

    def moves(race: Race) -> dict[int, list[Outcome]]:
        if race.over:
            return {}
        found = {
            STEP: [Outcome(1.0, *moved(race, 1, 0, again=False))],
            THROW: [Outcome(chance, *moved(race, pips, 0, again=False)) for chance, pips in DICE],
        }
        if race.places[race.mover] > 0:
            found[GAMBLE] = [
                Outcome(chance, *moved(race, pips - 1, 0.125, again=pips > 0)) for chance, pips in DICE
            ]
        return found

    return Game(mover=lambda race: race.mover, moves=moves, num_players=num_players)
