"""The pictures and pairs that are measured: folders of people, and a list of pairs in the format of Labeled Faces in the Wild.

FOLDER/.../NAME/*.jpg          one folder for each person, anywhere below
FOLDER/pairs.txt               optional first line "FOLDS N"; "NAME i j" is a genuine pair, "NAME i OTHER j" an impostor pair;
                               picture i of NAME is NAME/NAME_000i.jpg, or else the i-th of that person's folder by name
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = {".jpg", ".jpeg", ".png"}


class DataMissing(Exception):
    """There is nothing to measure; the sentence says what is missing."""


@dataclass(frozen=True, slots=True)
class Pair:
    one: int
    other: int
    genuine: bool


@dataclass(frozen=True, slots=True)
class Data:
    """`people[i]` is who picture `paths[i]` shows. `folds`: the pairs' own division, 0 when the file names none."""

    folder: Path
    paths: tuple[Path, ...]
    people: tuple[str, ...]
    pairs: tuple[Pair, ...]
    folds: int

    def said(self) -> dict[str, int]:
        counts = [self.people.count(person) for person in set(self.people)]
        genuine = sum(count * (count - 1) // 2 for count in counts)
        images = len(self.paths)
        return {
            "people": len(counts),
            "images": images,
            "pairs": len(self.pairs),
            "pairs_genuine": sum(pair.genuine for pair in self.pairs),
            "all_genuine": genuine,
            "all_impostors": images * (images - 1) // 2 - genuine,
            "people_with_4_images": sum(count >= 4 for count in counts),
        }


def read(folder: Path) -> Data:
    """DataMissing names what is not there or cannot be understood."""
    if not folder.is_dir():
        raise DataMissing(f"there is no folder {folder}: give one with --data, with one folder of pictures for each person and a pairs.txt")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    people = [path.parent.name for path in paths]
    if len(set(people)) < 2:
        raise DataMissing(f"{folder} has pictures of {len(set(people))} people: at least two are needed, each in a folder of their own")
    listed = folder / "pairs.txt"
    if not listed.is_file():
        raise DataMissing(f"{listed} is missing: the pairs to compare, in the format of LFW")
    pairs, folds = _pairs(listed, paths, people)
    return Data(folder, tuple(paths), tuple(people), pairs, folds)


def _pairs(listed: Path, paths: list[Path], people: list[str]) -> tuple[tuple[Pair, ...], int]:
    numbers: dict[str, list[int]] = {}
    for index, person in enumerate(people):
        numbers.setdefault(person, []).append(index)
    names = {path.stem: index for index, path in enumerate(paths)}

    def picture(person: str, number: str) -> int:
        named = names.get(f"{person}_{int(number):04d}")
        return named if named is not None else numbers[person][int(number) - 1]

    lines = [line.split() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    folds = int(lines.pop(0)[0]) if lines and len(lines[0]) <= 2 and lines[0][0].isdecimal() else 0
    pairs = []
    for line in lines:
        try:
            match line:
                case [person, first, second]:
                    pairs.append(Pair(picture(person, first), picture(person, second), True))
                case [person, first, stranger, second]:
                    pairs.append(Pair(picture(person, first), picture(stranger, second), False))
                case _:
                    raise ValueError(line)
        except (ValueError, KeyError, IndexError):
            raise DataMissing(f"{listed}: the line {' '.join(line)!r} is no pair of pictures that are there") from None
    if not any(pair.genuine for pair in pairs) or all(pair.genuine for pair in pairs):
        raise DataMissing(f"{listed} needs genuine and impostor pairs")
    return tuple(pairs), folds


def picture(path: Path) -> Any:
    """BGR. DataMissing: the file is no picture."""
    import cv2

    found = cv2.imread(str(path))
    if found is None:
        raise DataMissing(f"{path} is no picture")
    return found
