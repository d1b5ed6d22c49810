"""The store of a Xet-backed Hub: a folder that the real hf_xet client writes to and reads from (`local://`)."""

import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RECORD = 48
HAS_VERIFICATION, HAS_METADATA = 1 << 31, 1 << 30


@dataclass(frozen=True)
class XetFile:
    xet_hash: str
    sha256: str
    """Empty if the client did not tell: for buckets, it does not."""
    size: int


class XetStore:
    """What clients have put into `folder`; the Hub reads it to check what a commit names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"local://{folder}"
        self._shards: set[Path] = set()
        self._files: dict[str, XetFile] = {}

    def num_bytes(self) -> int:
        """Of all content that was ever sent; what was sent twice in other company counts twice."""
        # Names with a dot first are files that a client is still writing, and may be gone at the next call.
        found = self.folder.rglob("xorbs/**/[!.]*")
        return sum(path.stat().st_size for path in found if path.is_file())

    def find(self, hash_: str) -> XetFile | None:
        """The file with this SHA-256, or this Xet hash."""
        for shard in set(self.folder.rglob("shards/*.mdb")) - self._shards:
            for file in _files_in(shard.read_bytes()):
                self._files |= {file.xet_hash: file, file.sha256: file}
            self._shards.add(shard)
        return self._files.get(hash_)

    def read(self, file: XetFile) -> bytes:
        from hf_xet import XetFileInfo, XetSession  # type: ignore[import-untyped]

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            with XetSession().new_file_download_group(endpoint=self.url) as group:
                group.start_download_file(XetFileInfo(file.xet_hash, file.size), str(path))
            return path.read_bytes()


def _files_in(shard: bytes) -> Iterator[XetFile]:
    """The file section of a shard: after a header, for each file its hash, its segments, and its SHA-256."""
    place = RECORD
    while (hash_ := shard[place : place + 32]) != b"\xff" * 32:
        flags, num_segments = struct.unpack_from("<II", shard, place + 32)
        segments = place + RECORD
        size = sum(struct.unpack_from("<I", shard, segments + n * RECORD + 36)[0] for n in range(num_segments))
        metadata = segments + num_segments * RECORD * (2 if flags & HAS_VERIFICATION else 1)
        place = metadata + (RECORD if flags & HAS_METADATA else 0)
        yield XetFile(_hex(hash_), _hex(shard[metadata : metadata + 32]) if flags & HAS_METADATA else "", size)


def _hex(hash_: bytes) -> str:
    """Xet keeps a hash as four little-endian numbers."""
    return "".join(f"{number:016x}" for number in struct.unpack("<4Q", hash_))
