"""Go by the words of Tromp and Taylor's rules: boards are dictionaries, chains and areas are searched by point.

Slow and obvious. Points are numbered as in `jzero_envs.go`: row by row from the top left, size^2 passes.
Source: https://tromp.github.io/go.html; here suicide is illegal, and two passes or `max_plies` plies end a game.
"""

BLACK, WHITE = "black", "white"
OTHER = {BLACK: WHITE, WHITE: BLACK}


class Go:
    """A game of Go that is played move by move."""

    def __init__(self, size, komi=7.5, max_plies=None):
        self.size, self.komi = size, komi
        self.max_plies = 2 * size**2 if max_plies is None else max_plies
        self.board = {}  # (row, column): colour
        self.mover, self.moves = BLACK, []
        self.former = {frozenset()}

    def neighbours(self, point):
        row, column = point
        for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= r < self.size and 0 <= c < self.size:
                yield r, c

    def connected(self, board, start):
        """The points of `start`'s kind that it is connected to, and the points next to them."""
        kind, inside, border, todo = board.get(start), {start}, set(), [start]
        while todo:
            for point in self.neighbours(todo.pop()):
                if board.get(point) != kind:
                    border.add(point)
                elif point not in inside:
                    inside.add(point)
                    todo.append(point)
        return inside, border

    def liberties(self, board, stone):
        """The empty points next to a stone's chain."""
        return {point for point in self.connected(board, stone)[1] if point not in board}

    def after(self, point):
        """The board after the mover's stone on `point`, or None where that is occupied or suicide."""
        if point in self.board:
            return None
        board = {**self.board, point: self.mover}
        for beside in self.neighbours(point):
            if board.get(beside) == OTHER[self.mover] and not self.liberties(board, beside):
                for stone in self.connected(board, beside)[0]:
                    del board[stone]
        return board if self.liberties(board, point) else None

    def legal_actions(self):
        if self.is_terminal():
            return []
        found = []
        for action in range(self.size**2):
            board = self.after(divmod(action, self.size))
            if board is not None and frozenset(board.items()) not in self.former:
                found.append(action)
        return [*found, self.size**2]

    def apply_action(self, action):
        if action < self.size**2:
            self.board = self.after(divmod(action, self.size))
            self.former.add(frozenset(self.board.items()))
        self.mover = OTHER[self.mover]
        self.moves.append(action)

    def is_terminal(self):
        return self.moves[-2:] == [self.size**2] * 2 or len(self.moves) == self.max_plies

    def current_player(self):
        return len(self.moves) % 2

    def owner(self, point):
        """Whose area a point is: the colour that stands there, or the only one that it reaches; None of neither."""
        if point in self.board:
            return self.board[point]
        reached = {self.board[stone] for stone in self.connected(self.board, point)[1]}
        return reached.pop() if len(reached) == 1 else None

    def owners(self):
        return [self.owner(divmod(action, self.size)) for action in range(self.size**2)]

    def returns(self):
        if not self.is_terminal():
            return [0.0, 0.0]
        owners = self.owners()
        score = owners.count(BLACK) - owners.count(WHITE) - self.komi
        return [1.0, -1.0] if score > 0 else [-1.0, 1.0] if score < 0 else [0.0, 0.0]


def is_legal_position(size, board):
    """Whether every chain of `board` ({(row, column): colour}) has a liberty."""
    game = Go(size)
    return all(game.liberties(board, stone) for stone in board)
