from collections.abc import Iterable
from typing import Any

def columns_of(orders: Iterable[Any], kind: type) -> tuple[list[Any], list[Any], list[Any]]: ...
