"""Another user of the machine, who tries to have code run by Dask: python -m tests.intruder FOLDER ADDRESS...

Tries each address as a client's scheduler, and as a worker or nanny that is told to run a function: in clear text, with
TLS without a certificate, and with one that it made for itself. It does not mind whom it talks to. Each try that
succeeds leaves a folder in FOLDER, named after it.
"""

import asyncio
import os
import pickle
import re
import ssl
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from distributed import Client, Security
from distributed.comm import connect

PATIENCE_S = 5


class Careless(Security):  # type: ignore[misc]
    """Talks TLS to whoever answers, with the certificate that it has, or with none."""

    def get_connection_args(self, role: str) -> dict[str, Any]:
        arguments: dict[str, Any] = super().get_connection_args(role)
        context = arguments["ssl_context"] or ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return arguments | {"ssl_context": context, "require_encryption": False}


async def submit(address: str, security: Security, trace: str) -> None:
    """A task for whatever workers the scheduler at `address` has."""
    async with Client(address, security=security, asynchronous=True, timeout=PATIENCE_S) as client:
        await client.submit(os.mkdir, trace)


async def call(address: str, security: Security, trace: str) -> None:
    """A function for the worker or the nanny at `address`."""
    comm = await connect(address, timeout=PATIENCE_S, **security.get_connection_args("client"))
    await comm.write({"op": "run", "function": pickle.dumps(os.mkdir), "args": pickle.dumps((trace,)), "reply": True})
    await comm.read()


async def tried(attempt: Callable[[str, Security, str], Awaitable[None]], *arguments: object) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            await attempt(*arguments)  # type: ignore[arg-type]
    except Exception as error:  # noqa: BLE001 - refused, in whatever words
        print(attempt.__name__, *arguments, f"{type(error).__name__}: {error}")  # noqa: T201


async def intrude(folder: Path, addresses: list[str]) -> None:
    credentials = {"none": Careless(), "own": Careless.temporary()}
    await asyncio.gather(
        *(
            tried(attempt, address, security, str(folder / re.sub(r"\W+", "-", f"{attempt.__name__} {address} {name}")))
            for address in addresses
            for name, security in credentials.items()
            for attempt in (submit, call)
        )
    )


if __name__ == "__main__":
    asyncio.run(intrude(Path(sys.argv[1]), sys.argv[2:]))
