"""Emoji art with its words, from npm packages: what the demonstration encoder's image tower is trained and measured on.

| art set | package | licence | use |
|---|---|---|---|
| Noto | emoji-datasource-google | Apache-2.0 | trained on |
| Twemoji | emoji-datasource-twitter | CC-BY-4.0 | trained on |
| Fluent, flat and modern | fluentui-emoji | MIT | trained on |
| Noto of before 2017 | @iconify-json/noto-v1 | Apache-2.0 | trained on |
| Firefox OS | @iconify-json/fxemoji | Apache-2.0 | trained on |
| OpenMoji | openmoji | CC-BY-SA-4.0 | measured on, never trained on, never passed on |
| Streamline | @iconify-json/streamline-emojis | CC-BY-4.0 | chooses settings of benchmarks, never trained on |
| EmojiOne | @iconify-json/emojione | CC-BY-4.0 | measured on at the end, never trained on, chooses nothing |

Words (label, tags, group) are those of emojibase-data (MIT), made from Unicode's CLDR. The packages come through `npm
pack`, so from the registry that npm is set up with, in the versions named here, and are believed by their sha512 alone.
SVG is drawn by resvg: pip install resvg-py.
"""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from unicorn_hf.core.ids import stable_int
from unicorn_hf.models.demo_models import cache_folder

PACKAGES = {
    "emoji-datasource-google@16.0.0": (
        "ZRexfzs7MVoLnmzZmNsO4TKhnAJp5D++Vm6PpUpH/jEQQlemp3l88CjZ+DoZ2faM9R4QxZkOPJCoT8DlPhfQ3A=="
    ),
    "emoji-datasource-twitter@16.0.0": (
        "7F+uCuHH+7Qnrc15P5tnbvKkg9E6tlzi4MnT2uW1RlN4pLYTza6cP/dstIfSDMtpjFLWuZewWg8jBbuL2eyELQ=="
    ),
    "fluentui-emoji@1.3.0": "JTXXwqIie2rWTgOkIJDJxr0WtwTz2WU4kdOq8buLVThYwQ264aFR2jdTyuon2oEbLqqGMT64zI4btyn1saB2xw==",
    "@iconify-json/noto-v1@1.2.5": (
        "/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA=="
    ),
    "@iconify-json/fxemoji@1.2.2": (
        "UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ=="
    ),
    "openmoji@17.0.0": "EBnYrNGdcdw+OSXmENeNE1yBNRu6tOraTmoOyUbJkTmvT/+XETp8RZLSJFzD3lrPc5N9CzsyPnRTk0Vp4UaI9w==",
    "@iconify-json/streamline-emojis@1.2.4": (
        "iNr9T9XuZVTyQPJO8ZlLxBzPkpi7qMl+z1l0C31vpEMqhPMelth3n7CeWQYtixdetDPdI81yeG4ROqjWpYJE6A=="
    ),
    "@iconify-json/emojione@1.2.3": (
        "T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg=="
    ),
    "emojibase-data@17.0.0": "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
}
"""npm's own `dist.integrity` (sha512) of each."""
TRAINED_ON = ("Noto", "Twemoji", "Fluent flat", "Fluent modern", "Noto v1", "Firefox OS")
UNSEEN = "OpenMoji"
CHOOSING, HEADLINE = "Streamline", "EmojiOne"
_PACKAGE_OF = {
    "Noto": "emoji-datasource-google", "Twemoji": "emoji-datasource-twitter", "Fluent flat": "fluentui-emoji",
    "Fluent modern": "fluentui-emoji", "Noto v1": "@iconify-json/noto-v1", "Firefox OS": "@iconify-json/fxemoji",
    UNSEEN: "openmoji", CHOOSING: "@iconify-json/streamline-emojis",
    HEADLINE: "@iconify-json/emojione",
}  # fmt: skip
SIZE = 64
_CODE = 2
"""Raise it when what is read out of the packages changes."""
_COMPONENT = 2
"""emojibase's group of parts of emoji: skin tones and hair."""
_HELD_OUT_IN = 10
_GENDER = {"200D", "FE0F", "2640", "2642", "1F468", "1F469", "1F9D1", "1F466", "1F467", "1F9D2"}
_ARROW = "27A1"
"""Turns a person to the right."""

Pixels = NDArray[np.uint8]
"""(pictures, SIZE, SIZE, 4): red, green, blue, opacity."""


@dataclass(frozen=True)
class Concept:
    """An emoji, whoever draws it."""

    code: str
    """Its code points, e.g. 1F6A3-200D-2642-FE0F."""
    label: str
    tags: tuple[str, ...]
    group: str
    subgroup: str

    @property
    def held_out(self) -> bool:
        """Whether no picture of it is trained on: a tenth, by a hash. Man, woman and person are held out together."""
        parts = self.code.split("-")
        family = "-".join(part for part in parts if part not in _GENDER and part != _ARROW) or "people"
        return stable_int("held out", family) % _HELD_OUT_IN == 0


@dataclass(frozen=True)
class ArtSet:
    """One artist's pictures."""

    name: str
    concepts: NDArray[np.int64]
    """For each picture, the number of what it shows."""
    pixels: Pixels

    def on_white(self, chosen: NDArray[np.bool_] | slice = slice(None)) -> list[Image.Image]:
        """The chosen pictures as RGB."""
        white = Image.new("RGBA", (SIZE, SIZE), "white")
        pictures = (Image.fromarray(pixels, "RGBA") for pixels in self.pixels[chosen])
        return [Image.alpha_composite(white, picture).convert("RGB") for picture in pictures]


@dataclass(frozen=True)
class Art:
    concepts: list[Concept]
    sets: dict[str, ArtSet]

    @property
    def held_out(self) -> NDArray[np.bool_]:
        """For each concept, whether no picture of it is trained on."""
        return np.array([concept.held_out for concept in self.concepts])


def load_art(names: Sequence[str] = (*TRAINED_ON, UNSEEN)) -> Art:
    """Concepts and the pictures of each set, downloaded and drawn once into unicorn-hf's cache (some 30 MB each)."""
    folder = cache_folder() / "emoji-art"
    concepts = _concepts(_tarball(folder, "emojibase-data"))
    return Art(concepts, {name: _art_set(folder, name, concepts) for name in names})


def packages_of(names: Sequence[str]) -> list[str]:
    """The packages of art sets and words, with their versions."""
    wanted = {"emojibase-data", *(_PACKAGE_OF[name] for name in names)}
    return [package for package in PACKAGES if package.rpartition("@")[0] in wanted]


def _art_set(folder: Path, name: str, concepts: list[Concept]) -> ArtSet:
    sums = [PACKAGES[package] for package in packages_of([name])]
    identity = hashlib.sha256(repr((_CODE, sums)).encode()).hexdigest()[:12]
    drawn = folder / f"{_slug(name)}-{identity}.npz"
    if not drawn.is_file():
        tarball = _tarball(folder, _PACKAGE_OF[name])
        print(f"drawing {name}", file=sys.stderr, flush=True)
        found = dict(_pictures(name, tarball, concepts))
        temporary = drawn.with_suffix(".tmp.npz")
        np.savez(temporary, concepts=sorted(found), pixels=np.stack([found[number] for number in sorted(found)]))
        temporary.replace(drawn)
    with np.load(drawn) as file:
        return ArtSet(name, file["concepts"], file["pixels"])


def _tarball(folder: Path, name: str) -> Path:
    """The package's tarball, from the cache or from npm."""
    (package,) = (package for package in PACKAGES if package.rpartition("@")[0] == name)
    path = folder / f"{package.removeprefix('@').replace('/', '-').replace('@', '-')}.tgz"
    if not path.is_file() or _sha512(path) != PACKAGES[package]:
        npm = shutil.which("npm")
        if npm is None:
            sys.exit("npm, which brings the emoji packages, is not installed: https://docs.npmjs.com")
        folder.mkdir(parents=True, exist_ok=True)
        print(f"fetching {package}", file=sys.stderr, flush=True)
        subprocess.run([npm, "pack", package, "--silent", "--pack-destination", folder], check=True, stdout=sys.stderr)
        if _sha512(path) != PACKAGES[package]:
            path.unlink()
            sys.exit(f"{package}: npm brought another file than the one known by its sha512")
    return path


def _sha512(path: Path) -> str:
    with path.open("rb") as file:
        return base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()


def _members(tarball: Path, pattern: str) -> Iterator[tuple[re.Match[str], bytes]]:
    with tarfile.open(tarball) as archive:
        for member in archive:
            if (match := re.fullmatch(pattern, member.name)) and (file := archive.extractfile(member)):
                yield match, file.read()


def _json(tarball: Path, name: str) -> object:
    (found,) = (content for _, content in _members(tarball, re.escape(name)))
    return json.loads(found)


def _concepts(tarball: Path) -> list[Concept]:
    rows, messages = (_json(tarball, f"package/en/{name}.json") for name in ("data", "messages"))
    assert isinstance(rows, list)
    assert isinstance(messages, dict)
    groups, subgroups = ({m["order"]: m["message"] for m in messages[kind]} for kind in ("groups", "subgroups"))
    concepts = [
        Concept(
            row["hexcode"], row["label"].lower(), tuple(row.get("tags", ())),
            groups[row["group"]], subgroups[row["subgroup"]],
        )
        for row in rows
        if row.get("group", _COMPONENT) != _COMPONENT
    ]  # fmt: skip
    return sorted(concepts, key=lambda concept: concept.code)


def _pictures(name: str, tarball: Path, concepts: list[Concept]) -> Iterator[tuple[int, Pixels]]:
    """Number of the concept and the picture, of one art set."""
    by_code = {_plain(concept.code): number for number, concept in enumerate(concepts)}
    by_slug = {_slug(concept.label): number for number, concept in enumerate(concepts)}
    match name:
        case "Noto" | "Twemoji":
            vendor = {"Noto": "google", "Twemoji": "twitter"}[name]
            rows = _json(tarball, "package/emoji.json")
            assert isinstance(rows, list)
            # The folder also holds other vendors' pictures, where this one has none.
            own = {row["image"]: row["unified"] for row in rows if row[f"has_img_{vendor}"]}
            for match_, content in _members(tarball, rf"package/img/{vendor}/64/(.+\.png)"):
                number = by_code.get(_plain(own.get(match_[1], "")))
                if number is not None:
                    yield number, _pixels(content)
        case "Fluent flat" | "Fluent modern":
            style = name.removeprefix("Fluent ")
            for match_, content in _members(tarball, rf"package/icons/{style}/(.+)\.svg"):
                number = by_slug.get(match_[1].removesuffix("-default"))
                if number is not None:
                    yield number, _drawn(content.decode())
        case "OpenMoji":
            for match_, content in _members(tarball, r"package/color/svg/([0-9A-F-]+)\.svg"):
                number = by_code.get(_plain(match_[1]))
                if number is not None:
                    yield number, _drawn(content.decode())
        case _:
            yield from _iconify(tarball, {slug.replace("-", ""): number for slug, number in by_slug.items()})


def _iconify(tarball: Path, by_letters: dict[str, int]) -> Iterator[tuple[int, Pixels]]:
    """Icons by name, with or without hyphens: https://iconify.design/docs/types/iconify-json.html"""
    collection = _json(tarball, "package/icons.json")
    assert isinstance(collection, dict)
    for name, icon in collection["icons"].items():
        number = by_letters.get(name.replace("-", ""))
        if number is not None:
            width, height = (icon.get(side, collection.get(side, 16)) for side in ("width", "height"))
            opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
            yield number, _drawn(f"{opening}{icon['body']}</svg>")


def _plain(code: str) -> str:
    return code.upper().replace("-FE0F", "")


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")


def _drawn(svg: str) -> Pixels:
    try:
        import resvg_py
    except ImportError:
        sys.exit("resvg-py, which draws SVG, is not installed: pip install resvg-py")
    return _pixels(resvg_py.svg_to_bytes(svg_string=svg, width=SIZE, height=SIZE, skip_system_fonts=True))


def _pixels(png: bytes) -> Pixels:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA").resize((SIZE, SIZE), Image.Resampling.BICUBIC))
