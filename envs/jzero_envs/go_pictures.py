"""Pictures of Go: a board as SVG and as text, names of points, and places to click.

Points and stones are as in `jzero_envs.go`. A point takes 20 x 20 units; letters above the board and numbers on its
left name the points, and a line below is for the pass.
"""

import numpy as np

COLUMNS = "ABCDEFGHJKLMNOPQRST"
INK = "#451a03"


def vertex(size: int, action: int) -> str:
    """The name of an action: a column without I and a row from the bottom, or pass."""
    row, column = divmod(int(action), size)
    return "pass" if row == size else f"{COLUMNS[column]}{size - row}"


def areas(size: int) -> dict[int, tuple[tuple[float, ...], ...]]:
    """The rectangle (x, y, width, height) of each action."""
    found: dict[int, tuple[tuple[float, ...], ...]] = {
        row * size + column: ((20 * column, 20 * row, 20, 20),)
        for row in range(size)
        for column in range(size)
    }
    found[size**2] = ((0, 20 * size + 2, 20 * size, 14),)
    return found


def text(size: int, stones: np.ndarray, last: int) -> str:
    """The board i8[P] as text, X black and O white, and the last move (-1: none)."""
    letters = "   " + " ".join(COLUMNS[:size])
    marks = np.array([".", "X", "O"])[stones.reshape(size, size)]
    rows = [f"{size - r:2} " + " ".join(row) for r, row in enumerate(marks)]
    return "\n".join([*rows, letters, *([f"last: {vertex(size, last)}"] if last >= 0 else [])])


def svg(size: int, stones: np.ndarray, last: int) -> str:
    """The board i8[P] as SVG: a ring on the last move, and below the word "pass", framed after a pass."""
    side, end = 20 * size, 20 * size - 10
    lines = [
        f'<path d="M{at} 10V{end}M10 {at}H{end}" stroke="{INK}" stroke-width="0.6"/>'
        for at in range(10, side, 20)
    ]
    dots = [
        f'<circle class="star" cx="{20 * c + 10}" cy="{20 * r + 10}" r="1.8" fill="{INK}"/>'
        for r, c in _stars(size)
    ]
    discs = []
    for point in np.flatnonzero(stones):
        row, column = divmod(int(point), size)
        fill = "#0f172a" if stones[point] == 1 else "#f8fafc"
        discs.append(
            f'<circle class="stone" cx="{20 * column + 10}" cy="{20 * row + 10}" r="9" fill="{fill}" '
            f'stroke="#0f172a" stroke-width="0.6"/>'
        )
    if 0 <= last < size**2:
        row, column = divmod(last, size)
        discs.append(
            f'<circle class="last" cx="{20 * column + 10}" cy="{20 * row + 10}" r="4.5" fill="none" '
            f'stroke="#dc2626" stroke-width="1.6"/>'
        )
    frame = ' stroke="#dc2626" stroke-width="1"' if last == size**2 else ""
    word = (
        f'<rect x="0.5" y="{side + 2}" width="{side - 1}" height="14" rx="3" fill="#fde68a"{frame}/>'
        f'<text x="{side / 2:g}" y="{side + 12}" font-size="9" text-anchor="middle" fill="{INK}">pass</text>'
    )
    names = [_name(20 * at + 10, -4, COLUMNS[at]) for at in range(size)]
    names += [_name(-7, 20 * at + 13, str(size - at)) for at in range(size)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-14 -14 {side + 17} {side + 33}" '
        f'width="{side + 17}" height="{side + 33}">'
        f'<rect x="-14" y="-14" width="{side + 17}" height="{side + 33}" rx="6" fill="#f59e0b"/>'
        f"{''.join(names + lines + dots + discs)}{word}</svg>"
    )


def _name(x: int, y: int, text: str) -> str:
    return f'<text x="{x}" y="{y}" font-size="8" text-anchor="middle" fill="{INK}">{text}</text>'


def _stars(size: int) -> list[tuple[int, int]]:
    """The board's star points; small boards have none."""
    if size < 7:
        return []
    low = 2 if size < 13 else 3
    at = [low, size - 1 - low, *([size // 2] if size % 2 else [])]
    return [(r, c) for r in at for c in at]
