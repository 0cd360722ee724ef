from collections.abc import Iterable
from typing import NoReturn, Self, final

from penstock._core.plan import Plan

@final
class Rules:
    def __new__(
        cls,
        plan: Plan,
        always: Iterable[int] = (),
        capacities: Iterable[int] = (),
        uses: dict[int, tuple[int, ...]] | None = None,
        priorities: dict[int, float] | None = None,
        barriers: bool = False,
    ) -> Self: ...
    def __reduce__(self) -> NoReturn: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def barriers(self) -> bool: ...
