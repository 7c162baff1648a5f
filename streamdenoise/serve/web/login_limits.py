"""Slows down guessing of passwords, without locking anybody out for long."""

import hashlib
import ipaddress
import secrets
import time
from collections.abc import Callable

TRIES = 5
"""Wrong passwords in `PERIOD_S` from one place, or for one name."""
PERIOD_S = 60.0
_MAX_PLACES = 10_000
_MAX_DEVICES = 1_000


class LoginLimits:
    """Counts tries by address and by name, or by browser where it is known.

    Whoever guesses from many addresses is limited by the name, and whoever tries many
    names by the address. A browser in which that name logged in before has a limit of
    its own, so that an attack keeps no regular user out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Nobody has tried yet.

        Args:
            clock: Returns seconds.
        """
        self._clock = clock
        self._tries: dict[str, list[float]] = {}
        self._devices: dict[str, str] = {}
        """Hash of a cookie -> the name that logged in with it."""

    def begin(self, name: str, address: str, device: str) -> float:
        """Count a try before its password is looked at.

        Args:
            name: Login name, of a user or not.
            address: Where the request comes from.
            device: Cookie of the browser, as `remember` returned it; or anything else.

        Returns:
            Seconds to wait if it is one too many, which is then not counted; else 0.
        """
        now = self._clock()
        places = self._places(name, address, device)
        for place in places:
            tries = [t for t in self._tries.pop(place, ()) if now - t < PERIOD_S]
            self._tries[place] = tries  # at the end: the first ones are the oldest
            if len(tries) >= TRIES:
                return PERIOD_S - (now - tries[0])
        for place in places:
            self._tries[place].append(now)
        if len(self._tries) > _MAX_PLACES:
            # Half of them at once, so that it is done rarely.
            self._tries = dict(list(self._tries.items())[_MAX_PLACES // 2 :])
        return 0.0

    def succeeded(self, name: str, address: str, device: str) -> None:
        """Take back the try: the password was right."""
        for place in self._places(name, address, device):
            if self._tries.get(place):
                self._tries[place].pop()

    def remember(self, name: str) -> str:
        """A cookie for the browser in which `name` has just logged in."""
        device = secrets.token_urlsafe(32)
        while len(self._devices) >= _MAX_DEVICES:
            del self._devices[next(iter(self._devices))]
        self._devices[_digest(device)] = name
        return device

    def _places(self, name: str, address: str, device: str) -> tuple[str, ...]:
        known = _digest(device)
        if self._devices.get(known) == name:
            return (f"device {known}",)
        # Names are whatever a client sends: their hashes have one length.
        return f"address {_network(address)}", f"name {_digest(name)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _network(address: str) -> str:
    """The address, or for IPv6 the network of which a client may have all addresses."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and not parsed.ipv4_mapped:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
