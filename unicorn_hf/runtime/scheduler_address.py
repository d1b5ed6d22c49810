"""The address of a scheduler that somebody started: what it may be, and who else can talk there."""

import json
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from unicorn_hf.core.errors import InputError

_WITH_TLS = ("tls", "wss")
SEE_CERTIFICATES = "docs/clusters.md tells how to give certificates to Dask."


def address_of(scheduler: str) -> str:
    """The address of a scheduler that is given by it, or by the path of the file that it wrote.

    Raises:
        InputError: the file is not a scheduler's, or the address holds credentials, which are not repeated.
    """
    address = scheduler
    if "://" not in scheduler:
        try:
            address = str(json.loads(Path(scheduler).read_text(encoding="utf-8"))["address"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{scheduler} is not the file of a Dask scheduler", "`dask scheduler --scheduler-file PATH` writes one."
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
    """A client that could not even begin to connect does not end well: Dask lets it hang.

    Raises:
        InputError: Dask's configuration has not the certificates that the address needs, or does not want it.
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
            f"distributed.comm.tls.ca-file, client.cert and client.key name them. {SEE_CERTIFICATES}",
        )
    if security.require_encryption and not uses_tls:
        raise InputError(
            f"Dask's configuration requires encryption, and {address} has none", "Give the scheduler's tls:// address."
        )


def is_closed(address: str) -> bool:
    """Whether other machines cannot talk to this scheduler, or only with a certificate."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if parts.scheme in _WITH_TLS or host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
