"""Makes inputs that are nearly valid out of valid ones."""

import json
import random
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

_BYTES = (b"\0", b"\xff", b"\x7f", b"\x80", b"\n", b"\r\n", b'"', b"\\", b"%s", b"{}")
_NUMBERS = (0, 1, -1, 127, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
_WORDS = (
    *("-1", "0", "1e400", "nan", "inf", "9" * 400, "../", "/", "\\", "\0", " ", "é"),
    *("file:", "http://127.0.0.1:9/", "crypto:", "concat:", "data:,", "pipe:0", "%d"),
)
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**40, 10**400, 1e300, -0.5, "", "x", "\0", "../x"),
    *("a" * 3000, [], {}, [[]], [None], {"a": 1}, [1, 2, 3], ["x"] * 50),
)


def mutated(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """One of `corpus` with some changes to its bytes."""
    data = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        _change(rng, data, corpus)
    return bytes(data)


def _change(rng: random.Random, data: bytearray, corpus: Sequence[bytes]) -> None:
    # Headers are at the beginning.
    end = len(data) if rng.random() < 0.4 else min(len(data), 512)
    at = rng.randrange(end + 1)
    kind = rng.randrange(9)
    if kind == 0 and data:
        data[at % len(data)] ^= 1 << rng.randrange(8)
    elif kind == 1:
        data[at : at + 1] = rng.randbytes(1)
    elif kind == 2:
        size, order = rng.choice((1, 2, 4, 8)), rng.choice(("big", "little"))
        number = rng.choice(_NUMBERS) % (1 << 8 * size)
        data[at : at + size] = number.to_bytes(size, order)
    elif kind == 3:
        del data[at : at + rng.choice((1, 2, 4, 16, 100))]
    elif kind == 4:
        del data[at:]
    elif kind == 5:
        size = rng.choice((1, 4, 16, 64))
        data[at:at] = data[at : at + size] * rng.choice((1, 2, 50))
    elif kind == 6:
        data[at:at] = rng.choice((*_BYTES, *(word.encode() for word in _WORDS)))
    elif kind == 7:
        other = rng.choice(corpus)
        start = rng.randrange(len(other) + 1)
        data[at : at + 32] = other[start : start + rng.choice((4, 32, 200))]
    else:
        digits = [n for n, each in enumerate(data[:end]) if 48 <= each <= 57]
        if digits:
            place = rng.choice(digits)
            data[place : place + 1] = rng.choice(_WORDS).encode()


def mutated_json(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """JSON with other values, or with changes to its bytes."""
    if rng.random() < 0.3:
        return mutated(rng, corpus)
    try:
        tree = json.loads(rng.choice(corpus))
    except ValueError:
        return mutated(rng, corpus)
    for _ in range(rng.choice((1, 1, 2, 4))):
        _change_tree(rng, tree)
    return json.dumps(tree).encode()


def _change_tree(rng: random.Random, tree: Any) -> None:
    node = tree
    while isinstance(node, dict | list) and node:
        key = rng.choice(list(node)) if isinstance(node, dict) else _place(rng, node)
        below = node[key]
        is_leaf = not isinstance(below, dict | list) or not below
        if is_leaf or rng.random() < 0.3:
            _change_at(rng, node, key)
            return
        node = below


def _place(rng: random.Random, node: list[Any]) -> int:
    return rng.randrange(len(node))


def _change_at(rng: random.Random, node: Any, key: Any) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[rng.choice(("", "x", "../x", "name"))] = deepcopy(node[key])
    elif kind == 2 and isinstance(node[key], int | float):
        node[key] = node[key] * rng.choice((-1, 0, 2, 3, 1000))
    else:
        node[key] = deepcopy(rng.choice(_VALUES))
