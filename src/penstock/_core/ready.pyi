from collections.abc import Iterable, Sequence
from typing import NoReturn, Self, final

def trial(
    operations: Iterable[int | None],
    priority: Sequence[float] | None = None,
    remaining: Sequence[float] | None = None,
) -> list[int]: ...

@final
class ReadyQueue:
    def __new__(cls) -> Self: ...
    def __reduce__(self) -> NoReturn: ...
    @property
    def count(self) -> int: ...
