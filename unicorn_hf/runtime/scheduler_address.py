"""The address of an existing scheduler: which forms are allowed, and whether others can connect to it."""

import json
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from unicorn_hf.core.errors import InputError

_WITH_TLS = ("tls", "wss")
SEE_CERTIFICATES = "See docs/clusters.md for how to configure Dask's certificates."


def address_of(scheduler: str) -> str:
    """The address of a scheduler, given as an address or as the path of its scheduler file.

    Raises:
        InputError: the file is not a scheduler's, or the address contains credentials, which the message omits.
    """
    address = scheduler
    if "://" not in scheduler:
        try:
            address = str(json.loads(Path(scheduler).read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{scheduler} is not a Dask scheduler file", "Write one with `dask scheduler --scheduler-file PATH`."
            ) from error
    try:
        parts = urlsplit(address)
        holds_more = "@" in address or bool(parts.query or parts.fragment)
    except ValueError:
        holds_more = True
    if holds_more:
        raise InputError(
            "a scheduler's address is tls://HOST:PORT or tcp://HOST:PORT, with no user, password or query",
            SEE_CERTIFICATES,
        )
    return address


def check_security(address: str) -> None:
    """Check the TLS configuration before connecting: without usable certificates Dask's client hangs.

    Raises:
        InputError: Dask's configuration lacks the certificates that the address needs, or forbids the address.
    """
    import dask
    from distributed import Security

    uses_tls = urlsplit(address).scheme in _WITH_TLS
    try:
        security = Security()
        has_certificates = security.get_connection_args("client")["ssl_context"] is not None
    except (OSError, ValueError) as error:
        raise InputError(f"Dask's TLS configuration cannot be used: {error}", SEE_CERTIFICATES) from error
    if uses_tls and not has_certificates and not dask.config.get("distributed.client.security-loader"):
        raise InputError(
            f"{address} needs certificates, and Dask's configuration has none",
            f"Set distributed.comm.tls.ca-file, client.cert and client.key. {SEE_CERTIFICATES}",
        )
    if security.require_encryption and not uses_tls:
        raise InputError(
            f"Dask's configuration requires encryption, and {address} has none", "Give the scheduler's tls:// address."
        )


def is_closed(address: str) -> bool:
    """Whether other machines cannot connect to this scheduler, or only with a certificate."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme in _WITH_TLS or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
