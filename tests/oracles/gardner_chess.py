"""Gardner's minichess written for the eye: rows of letters, moves by name.

A board is five strings from row 5 down to row 1, white's pieces in capitals, "." for nothing. No castling, no
double steps, no en passant.
"""

START = ("rnbqk", "ppppp", ".....", "PPPPP", "RNBQK")
STRAIGHT, DIAGONAL = [(1, 0), (-1, 0), (0, 1), (0, -1)], [(1, 1), (1, -1), (-1, 1), (-1, -1)]
KNIGHT = [(1, 2), (2, 1), (-1, 2), (-2, 1), (1, -2), (2, -1), (-1, -2), (-2, -1)]
RIDES = {"r": STRAIGHT, "b": DIAGONAL, "q": STRAIGHT + DIAGONAL}
LEAPS = {"n": KNIGHT, "k": STRAIGHT + DIAGONAL}


def at(board, file, row):
    """The piece on a square, rows and files from 0; None off the board."""
    return board[4 - row][file] if 0 <= file < 5 and 0 <= row < 5 else None


def name(file, row):
    return "abcde"[file] + "12345"[row]


def moved(board, move):
    """The board after a move such as a4b5q."""
    cells = [list(line) for line in board]
    f, r, g, s = "abcde".index(move[0]), int(move[1]), "abcde".index(move[2]), int(move[3])
    piece = cells[5 - r][f]
    if len(move) == 5:
        piece = move[4].upper() if piece.isupper() else move[4]
    cells[5 - r][f], cells[5 - s][g] = ".", piece
    return tuple("".join(line) for line in cells)


def targets(board, white):
    """(from, to, piece) of all moves that may leave the king in check; files and rows from 0."""
    found = []
    for row in range(5):
        for file in range(5):
            piece = at(board, file, row)
            if piece == "." or piece.isupper() != white:
                continue
            kind = piece.lower()
            for df, dr in RIDES.get(kind, []):
                f, r = file + df, row + dr
                while at(board, f, r) is not None:
                    found.append(((file, row), (f, r), kind))
                    if at(board, f, r) != ".":
                        break
                    f, r = f + df, r + dr
            found += [((file, row), (file + df, row + dr), kind) for df, dr in LEAPS.get(kind, [])]
            if kind == "p":
                ahead = row + (1 if white else -1)
                if at(board, file, ahead) == ".":
                    found.append(((file, row), (file, ahead), kind))
                for f in (file - 1, file + 1):
                    if at(board, f, ahead) not in (None, "."):
                        found.append(((file, row), (f, ahead), kind))
    own = str.isupper if white else str.islower
    return [move for move in found if at(board, *move[1]) is not None and not own(at(board, *move[1]))]


def in_check(board, white):
    king = "K" if white else "k"
    return any(at(board, *to) == king for _, to, _ in targets(board, not white))


def legal_moves(board, white):
    """The names of all legal moves."""
    names = set()
    for origin, to, kind in targets(board, white):
        promotes = kind == "p" and to[1] == (4 if white else 0)
        plain = name(*origin) + name(*to)
        if not in_check(moved(board, plain), white):
            names |= {plain + piece for piece in "qrbn"} if promotes else {plain}
    return names
