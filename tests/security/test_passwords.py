"""Hashes of passwords and tokens."""

import hashlib
import time
from typing import Any

import pytest

from streamdenoise.security.passwords import (
    Cost,
    check_password,
    hash_password,
    hash_token,
    is_password_hash,
    is_token_hash,
    new_token,
)

CHEAP = Cost(n=2**10, p=1)


def test_only_the_password_fits_its_hash():
    hashed = hash_password("Grüße 🔑", CHEAP)
    assert check_password("Grüße 🔑", hashed)
    for wrong in ("", "Grüße", "grüße 🔑", "Grüße 🔑 ", "x" * 5000):
        assert not check_password(wrong, hashed)
    assert "Grüße" not in hashed
    assert hash_password("Grüße 🔑", CHEAP) != hashed


def test_names_that_nobody_has_take_as_long(monkeypatch: pytest.MonkeyPatch):
    work: list[tuple[int, int, int]] = []
    scrypt = hashlib.scrypt

    def counted(password: bytes, *, n: int, r: int, p: int, **more: Any) -> bytes:
        work.append((n, r, p))
        return scrypt(password, n=2**10, r=r, p=1, **more)

    hashed = hash_password("right")
    monkeypatch.setattr(hashlib, "scrypt", counted)
    for each in (None, hashed, None):
        assert not check_password("wrong", each)
    assert work == [tuple(Cost())] * 3


@pytest.mark.parametrize(
    "hashed",
    [
        "",
        "secret",
        "scrypt$32768$8$3$$",
        "scrypt$32767$8$3$c2FsdA==$" + "A" * 43 + "=",
        # Would take all memory.
        "scrypt$1073741824$8$1$c2FsdA==$" + "A" * 43 + "=",
        "md5$32768$8$3$c2FsdA==$" + "A" * 43 + "=",
    ],
)
def test_no_password_fits_what_is_no_hash(hashed: str):
    assert not is_password_hash(hashed)
    assert not check_password(hashed, hashed)


def test_a_user_who_does_not_exist_costs_the_same_time():
    hashed = hash_password("secret")
    check_password("wrong", None)  # makes the hash of nobody

    def cpu_s(of: str | None) -> float:
        start = time.process_time()
        assert not check_password("wrong", of)
        return time.process_time() - start

    known, unknown = (min(cpu_s(of) for _ in range(2)) for of in (hashed, None))
    assert 0.5 < unknown / known < 2


@pytest.mark.parametrize("text", ["", "x" * 1025])
def test_passwords_that_cannot_be_used_are_refused(text: str):
    with pytest.raises(ValueError, match="1 to 1024 characters"):
        hash_password(text)


def test_tokens():
    token = new_token()
    assert len(token) >= 43
    assert token != new_token()
    assert is_token_hash(hash_token(token))
    assert not is_token_hash(token)
    assert not is_token_hash(hash_password(token))
