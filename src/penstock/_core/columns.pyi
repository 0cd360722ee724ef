import sys
from typing import NoReturn, Self, final

from _typeshed import ReadableBuffer

@final
class Column:
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

    def __reduce__(self) -> NoReturn: ...

@final
class Integers:
    def __new__(cls, source: ReadableBuffer, label: str) -> Self: ...
    def __reduce__(self) -> NoReturn: ...
