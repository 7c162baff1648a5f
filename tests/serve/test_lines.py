"""Lines of keys in TOML files, compared with what Python's parser finds."""

import tomllib
from collections.abc import Iterator
from typing import Any

import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from streamdenoise.serve.config.lines import KeyPath, key_lines

TEXT = '''\
# a comment = 1
a = 1
"b.c" = "x # no comment" # [neither]
d.e.'f g' = """
h = 2
[i]
\\""" j = 3 """

[k]
l = [1, [2,
  3], # four
  { m = 5, n.o = [6] },
]
p = 1979-05-27 07:32:00.5
q = { r = { s = 1.5 } }
[t."u v"]
w = \'\'\'
x\'\'\'
[[y]]
z = 1
[[y]]
z = -2e3
  [y.aa]
  bb = "it's"
  [[y.cc]]
  dd = 1
  [[y.cc]]
  dd = 2
[k.ee]
'''


def paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if isinstance(value, dict):
        for key, each in value.items():
            yield (*path, key)
            yield from paths(each, (*path, key))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield (*path, number)
            yield from paths(each, (*path, number))


def test_every_kind_of_key_has_its_line() -> None:
    lines = key_lines(TEXT)
    assert set(lines) == set(paths(tomllib.loads(TEXT)))
    expected = {
        ("a",): 2,
        ("b.c",): 3,
        ("d", "e", "f g"): 4,
        ("k",): 9,
        ("k", "l", 1): 10,
        ("k", "l", 1, 1): 11,
        ("k", "l", 2, "n", "o", 0): 12,
        ("k", "p"): 14,
        ("k", "q", "r", "s"): 15,
        ("t", "u v", "w"): 17,
        ("y", 0, "z"): 20,
        ("y", 1, "z"): 22,
        ("y", 1, "aa", "bb"): 24,
        ("y", 1, "cc", 1, "dd"): 28,
        ("k", "ee"): 29,
    }
    assert {path: lines[path] for path in expected} == expected


VALUES = st.recursive(
    st.booleans() | st.integers(-99, 99) | st.text(max_size=4) | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=4))
def test_every_value_has_a_line(tables: dict[str, Any]) -> None:
    text = tomlkit.dumps(tables)
    assert set(key_lines(text)) == set(paths(tomllib.loads(text)))
