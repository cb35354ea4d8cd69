"""2048 by its rules, slow and obvious. A board is a tuple of rows of tiles: 0, 2, 4, ..."""

from fractions import Fraction

Board = tuple[tuple[int, ...], ...]

LEFT, UP, RIGHT, DOWN = range(4)


def slide_row(row: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """The row after a move to the left, and the sum of the tiles that merged into being."""
    tiles = [tile for tile in row if tile]
    done: list[int] = []
    score = 0
    while tiles:
        if len(tiles) > 1 and tiles[0] == tiles[1]:
            done.append(2 * tiles[0])
            score += 2 * tiles[0]
            tiles = tiles[2:]
        else:
            done.append(tiles.pop(0))
    return tuple(done + [0] * (len(row) - len(done))), score


def slide(board: Board, action: int) -> tuple[Board, int]:
    """The board after a move, before the new tile; what it scores."""
    if action in (UP, DOWN):
        columns, score = slide(transposed(board), LEFT if action == UP else RIGHT)
        return transposed(columns), score
    rows = [row[::-1] if action == RIGHT else row for row in board]
    slid = [slide_row(row) for row in rows]
    return tuple(row[::-1] if action == RIGHT else row for row, _ in slid), sum(score for _, score in slid)


def transposed(board: Board) -> Board:
    return tuple(zip(*board, strict=True))


def legal_actions(board: Board) -> list[int]:
    return [action for action in range(4) if slide(board, action)[0] != board]


def new_tiles(board: Board) -> list[tuple[Fraction, Board]]:
    """Every board that chance may make of one after a move, with its probability."""
    cells = [(r, c) for r, row in enumerate(board) for c, tile in enumerate(row) if not tile]
    return [
        (chance / len(cells), placed(board, cell, tile))
        for cell in cells
        for tile, chance in ((2, Fraction(9, 10)), (4, Fraction(1, 10)))
    ]


def placed(board: Board, cell: tuple[int, int], tile: int) -> Board:
    rows = [list(row) for row in board]
    rows[cell[0]][cell[1]] = tile
    return tuple(map(tuple, rows))
