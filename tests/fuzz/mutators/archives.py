"""Tar and zip: what members are called and how large they say they are, and what is in them."""

import gzip
import io
import json
import tarfile
import zipfile
from functools import cache
from random import Random

import numpy as np

from tests.fuzz.mutators import plain
from tests.fuzz.mutators.trees import changed, dumped
from tests.fuzz.mutators.values import text

_NAMES = ("/nowhere/a.json", "../../canary.json", "", ".", "a/", "a.json", "a.b.c.json", "a.npy", ".json", "x" * 300)
_TYPES = (
    tarfile.SYMTYPE,
    tarfile.LNKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
    tarfile.BLKTYPE,
    tarfile.GNUTYPE_SPARSE,
    b"9",
)
Member = tuple[tarfile.TarInfo, bytes]


def mutated_tar(rng: Random, content: bytes) -> bytes:
    members = _members(content)
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(members))
        info, data = members[at]
        change = rng.randrange(8)
        if change == 0:
            info.name = rng.choice((*_NAMES, text(rng)[:5000].replace("\ud800", "?")))
        elif change == 1:
            info.type, info.linkname = rng.choice(_TYPES), rng.choice(("/nowhere", "../../canary", info.name))
        elif change == 2:
            members.insert(rng.randrange(len(members)), members[at])
        elif change == 3:
            del members[at]
            members = members or [(info, data)]
        elif change == 4:
            rng.shuffle(members)
        elif change == 5:
            info.pax_headers = {
                rng.choice(("size", "path", "linkpath", "GNU.sparse.size", "mtime", "x")): text(rng)[:2000].replace(
                    "\ud800", "?"
                )
            }
        else:
            members[at] = info, _other_data(rng, info.name, data)
    written = _written(rng, members)
    if rng.random() < 0.15:
        # The size that a member says it has: 11 octal digits, or a large number in base 256.
        size = rng.choice(
            (b"77777777777\0", b"-0000000001\0", b"\x80" + b"\0" * 6 + b"\xff" * 5, b"\xff" * 12, b"0" * 12)
        )
        written = written[:124] + size + written[136:]
    return gzip.compress(written, mtime=0) if rng.random() < 0.05 else written


def _members(content: bytes) -> list[Member]:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return [(info, (tar.extractfile(info) or io.BytesIO()).read()) for info in tar]


def _written(rng: Random, members: list[Member]) -> bytes:
    stream = io.BytesIO()
    form = rng.choice((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT))
    with tarfile.open(fileobj=stream, mode="w", format=form, errors="surrogatepass") as tar:
        for info, data in members:
            info.size = len(data) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _other_data(rng: Random, name: str, data: bytes) -> bytes:
    if name.endswith(".json") and rng.random() < 0.8:
        return dumped(rng, changed(rng, json.loads(data)))
    if name.endswith(".npy") and rng.random() < 0.8:
        return _npy(rng, data)
    return plain.mutated(rng, data)


def _npy(rng: Random, data: bytes) -> bytes:
    vector = np.load(io.BytesIO(data))
    arrays = (
        vector[:0], vector[:-1], vector[None], vector * np.nan, vector * 0, np.array(["a"]), np.array([None]),
        vector.astype(np.int8), vector.astype(np.complex64), np.array(1.0), vector.astype(">f8"), np.zeros(3, "V8"),
    )  # fmt: skip
    stream = io.BytesIO()
    np.save(stream, rng.choice(arrays), allow_pickle=True)
    written = stream.getvalue()
    if rng.random() < 0.3:
        shape = rng.choice((b"(1000000000000,)", b"(-1,)", b"(None,)", b"()", b"(2, " + b"9" * 40 + b")"))
        head = b"{'descr': '<f2', 'fortran_order': False, 'shape': " + shape + b", }\n"
        written = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
    return written


@cache
def _bomb(name: str) -> bytes:
    """A few kilobytes that unpack to more than a reader takes of so few."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"[" + b" " * (70 << 20) + b"]", zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def mutated_zip(rng: Random, content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        (name,) = archive.namelist()
        data = archive.read(name)
    change = rng.randrange(7)
    members = [(name, data)]
    if change == 0:
        members = [(rng.choice((*_NAMES, text(rng)[:300] or "x")).replace("\ud800", "?"), data)]
    elif change == 1:
        members = [*members, *members, ("__MACOSX/._a.json", b"x")]
    elif change == 2:
        return _bomb(name)
    elif change == 3:
        members = []
    elif change == 4:
        members = [(name, plain.mutated(rng, data))]
    else:
        members = [(name, dumped(rng, changed(rng, json.loads(data))))]
    stream = io.BytesIO()
    methods = (zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(stream, "w", rng.choice(methods)) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name or "x"), data, archive.compression)
    written = bytearray(stream.getvalue())
    if rng.random() < 0.3 and len(written) > 60:
        # In the table of contents: flags, method, checksum, sizes.
        at = written.rfind(b"PK\x01\x02") + rng.randrange(8, 46)
        written[at] = rng.choice((0, 1, 0xFF, written[at] ^ 1))
    return bytes(written)
