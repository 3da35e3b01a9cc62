"""Infer the split and class of each image in a folder from folder names alone.

Folders at the top name splits, and the first folder below them the class. Deeper folders and file names are ignored.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ncfm_hub.errors import SourceError
from ncfm_hub.sources.listing import Listed
from ncfm_hub.sources.words import is_plain, split_names, split_word
from ncfm_hub.utils.counting import counted

EXPECTED = "expected train/CLASS/IMAGE and test/CLASS/IMAGE, or CLASS/IMAGE"
_DATA = "data"  # the only folder that may have siblings and still contain all splits
_NAMED = 3

Places = list[tuple[int, tuple[str, ...]]]  # image number and its folders, outermost first


@dataclass(frozen=True)
class Layout:
    """An inferred layout.

    splits: image numbers of each split
    classes: class folder of each image, None for an image outside any; empty if there are no class folders
    notes: what a user should know, such as how many images were left out
    """

    splits: dict[str, list[int]]
    classes: dict[int, str | None]
    notes: tuple[str, ...]


class Arrangement:
    """Infer the layout of the images of `dataset`.

    labelled: labels may come from metadata files, so class folders are optional
    by_folder: look for class folders at all
    """

    def __init__(self, images: Sequence[Listed], dataset: str, labelled: bool, by_folder: bool = True) -> None:
        self._images, self._dataset, self._labelled, self._by_folder = images, dataset, labelled, by_folder
        self._notes: list[str] = []

    def guess(self) -> Layout:
        """Infer the layout from folder names. Raises SourceError if it is unsupported or ambiguous."""
        places = self._unwrapped([(number, image.place.parts[:-1]) for number, image in enumerate(self._images)])
        words = self._split_folders(_by_top(places))
        if not words:
            return self.given({"train": places})
        names = split_names(words.values())
        splits: dict[str, Places] = {}
        aside = []
        for number, folders in places:
            if folders and folders[0] in words:
                splits.setdefault(names[words[folders[0]]], []).append((number, folders[1:]))
            else:
                aside.append(number)
        self._leave_out(aside, words)
        return self.given(splits)

    def given(self, splits: dict[str, Places]) -> Layout:
        """Return the layout for known splits, given each image's folders below its split.

        Raises SourceError as `guess` does.
        """
        classes = self._classes(_without_wrapper(splits))
        return Layout({name: [n for n, _ in places] for name, places in splits.items()}, classes, tuple(self._notes))

    def _unwrapped(self, places: Places) -> Places:
        """Strip a folder that contains everything, or one called `data` that contains the splits."""
        tops = _by_top(places)
        wrapper, inside = next(iter(tops.items()))
        if len(tops) == 1 and wrapper and not split_word(wrapper) and all(folders for _, folders in inside):
            return self._unwrapped(inside)
        data = next((top for top in tops if top.lower() == _DATA), None)
        if data is None or any(map(is_plain, tops)) or not any(map(is_plain, _by_top(tops[data]))):
            return places
        self._leave_out([n for top, others in tops.items() if top != data for n, _ in others], [data])
        return tops[data]

    def _split_folders(self, tops: dict[str, Places]) -> dict[str, str]:
        """Return the top-level folders that are splits, each with its split word; empty if all of them are classes."""
        words = {top: word for top in tops if (word := split_word(top))}
        plain = {top: word for top, word in words.items() if is_plain(top)}
        found = plain or words
        others = [top for top in tops if top and top not in found]
        deep = {top for top, inside in tops.items() if any(folders for _, folders in inside)}
        several = len(set(found.values())) > 1
        if not deep & set(found):  # they contain images directly
            if plain and self._labelled and (several or not others):
                return plain
            if plain and not others:
                raise self._error(f"no class folder holds {self._list([n for top in plain for n, _ in tops[top]])}")
            if not found or not (deep or (self._labelled and not others)):
                return {}  # class names such as "train" or "crash test"
        elif plain and (several or not others):
            return plain
        elif not plain and (_alike(tops, words, others) if several else not others):
            return words
        raise self._unclear(found, others)

    def _classes(self, splits: dict[str, Places]) -> dict[int, str | None]:
        """Return the class folder of each image. Raises SourceError if only some have one, or depths differ."""
        foldered = [places for places in splits.values() if any(folders for _, folders in places)]
        stray = [number for places in foldered or splits.values() for number, folders in places if not folders]
        names = {folders[0] for places in foldered for _, folders in places if folders}
        if not self._by_folder or (self._labelled and (stray or len(names) < 2)):
            return {}
        if stray:
            raise self._error(f"no class folder holds {self._list(stray)}")
        if len(names) == 1:
            raise self._error(f"{names.pop()} is the only class folder; expected two or more")
        self._check_depth([place for places in foldered for place in places])
        return {n: folders[0] if folders else None for places in splits.values() for n, folders in places}

    def _check_depth(self, places: Places) -> None:
        direct = {folders[0]: number for number, folders in places if len(folders) == 1}
        deeper = [(number, folders[0]) for number, folders in places if len(folders) > 1]
        astray = [number for number, name in deeper if name not in direct]
        if direct and astray:
            both = [next(iter(direct.values())), astray[0]]
            raise self._error(f"class folders lie at different depths ({self._list(both)})")
        if deeper:
            self._notes.append(
                f"the first folder below the split is the class; {counted(len(deeper), 'image')} in deeper folders, "
                f"such as {self._images[deeper[0][0]].name}, class {deeper[0][1]!r}"
            )

    def _leave_out(self, numbers: Sequence[int], kept: Collection[str]) -> None:
        if numbers:
            where = _shortened(sorted(kept))
            self._notes.append(f"{counted(len(numbers), 'image')} outside {where} skipped: {self._list(numbers)}")

    def _unclear(self, found: Collection[str], others: Collection[str]) -> SourceError:
        beside = f" beside {_shortened(sorted(others))}" if others else ""
        return self._error(
            f"{_shortened(sorted(found))}{beside} could be splits or classes; name splits train and test, "
            "and move other folders away"
        )

    def _error(self, what: str) -> SourceError:
        return SourceError(f"{self._dataset}: {what}; {EXPECTED}")

    def _list(self, numbers: Sequence[int]) -> str:
        return _shortened([self._images[number].name for number in numbers])


def _by_top(places: Places) -> dict[str, Places]:
    """Group images by their outermost folder, which is stripped; images in no folder come under an empty name."""
    tops: dict[str, Places] = {}
    for number, folders in places:
        tops.setdefault(folders[0] if folders else "", []).append((number, folders[1:]))
    return tops


def _without_wrapper(splits: dict[str, Places]) -> dict[str, Places]:
    """Strip a folder between split and classes (train/images/CLASS) if every split has exactly one."""
    tops = {name: _by_top(places) for name, places in splits.items() if any(folders for _, folders in places)}
    wrapped = all(len(by) == 1 and all(folders for _, folders in next(iter(by.values()))) for by in tops.values())
    if not tops or not wrapped:
        return splits
    return _without_wrapper(splits | {name: next(iter(by.values())) for name, by in tops.items()})


def _alike(tops: dict[str, Places], splits: Collection[str], others: Collection[str]) -> bool:
    """Return whether the split folders share the same class folders, which no other folder contains."""
    inside = {top: set(_by_top(_without_wrapper({top: tops[top]})[top])) for top in [*splits, *others]}
    known = [inside[split] for split in splits]
    return all(one == known[0] for one in known) and not any(inside[other] & known[0] for other in others)


def _shortened(names: Sequence[str]) -> str:
    named = ", ".join(names[:_NAMED])
    return f"{named} and {len(names) - _NAMED} more" if len(names) > _NAMED else named
