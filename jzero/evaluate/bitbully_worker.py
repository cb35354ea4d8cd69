"""The child process behind `engines.BitBullyProcess`: a script to run, not a module to import.

BitBully's licence is the AGPL, so it is loaded here, in a separate process that speaks JSON lines. One request per
line on stdin, a list of games as lists of columns: [[3, 3, 4], []]. One answer per line on stdout, the score of
every column for the player to move, null if the column is full or the game is over: [[-2, -2, 2, 18, 18, 2, null],
[-2, -1, 0, 1, 0, -1, -2]].
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    """Answers requests until stdin closes."""
    from bitbully import BitBully, Board

    # The book with distances: the two other books hold only win or loss, which is no score to compare.
    solver = BitBully(opening_book="12-ply-dist")

    def score_moves(moves: list[int]) -> list[int | None]:
        board = Board(moves)
        # The solver itself scores a finished game as if it went on.
        scores = {} if board.is_game_over() else solver.score_all_moves(board)
        return [scores.get(column) for column in range(Board.N_COLUMNS)]

    for line in sys.stdin:
        print(json.dumps([score_moves(moves) for moves in json.loads(line)]), flush=True)


if __name__ == "__main__":
    main()
