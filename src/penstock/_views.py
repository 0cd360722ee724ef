"""Read-only views, so that large columns are looked at without being copied."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

T = TypeVar("T")


class SequenceView(Sequence[Any]):
    """A list that cannot be changed through this view."""

    __slots__ = ("_items",)

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._items[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __contains__(self, item: object) -> bool:
        return item in self._items

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence) and not isinstance(other, (str, bytes)):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = ", ".join(repr(item) for item in self._items[:6])
        return f"<{len(self):,} names: {shown}{', ...' if len(self) > 6 else ''}>"


class LazySequence(Sequence[T]):
    """A sequence whose items are made when they are looked at, and not kept."""

    __slots__ = ("_count", "_make", "_what")

    def __init__(self, count: int, make: Callable[[int], T], what: str) -> None:
        self._count = count
        self._make = make
        self._what = what

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._make(i) for i in range(*index.indices(self._count))]
        if index < 0:
            index += self._count
        if not 0 <= index < self._count:
            raise IndexError(f"{self._what} {index} is out of range for {self._count}")
        return self._make(index)

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(self._count))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Sequence) and not isinstance(other, (str, bytes)):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{self._count:,} {self._what}s>"


class ResultsView(Mapping[Any, Any]):
    """Results by task name: a look-up by name over a column of values."""

    __slots__ = ("_find", "_names", "_present", "_values")

    def __init__(
        self,
        names: Sequence[Any],
        find: Callable[[Hashable], int],
        values: Callable[[int], Any],
        present: Callable[[int], bool],
    ) -> None:
        self._names = names
        self._find = find
        self._values = values
        self._present = present

    def __getitem__(self, name: Any) -> Any:
        task = self._find(name)
        if task < 0 or not self._present(task):
            raise KeyError(name)
        return self._values(task)

    def __iter__(self) -> Iterator[Any]:
        return (name for task, name in enumerate(self._names) if self._present(task))

    def __len__(self) -> int:
        return sum(map(self._present, range(len(self._names))))

    def __repr__(self) -> str:
        return f"<results of {len(self):,} tasks>"
