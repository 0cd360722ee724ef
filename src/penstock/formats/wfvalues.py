"""Looking at the values of a parsed JSON document before they are used.

A document may hold anything anywhere.  Each method takes a value and its place in the document, gives it back
as the type that is expected there, or raises the `FormatError` that names the place and what was found.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from penstock.errors import FormatError

__all__ = ["DocumentValues", "kind"]


class DocumentValues:
    """Checked access to one document; ``path`` is the file that the messages name.

    Most methods take a member's owner, its key and the owner's place, so that the member's own place is put
    into words only for a message.
    """

    def __init__(self, path: str | None) -> None:
        self.path = path

    def error(self, message: str) -> FormatError:
        """Return the error to raise for this document."""
        return FormatError(message, self.path)

    def mapping(self, value: object, place: str) -> Mapping[str, object]:
        """Return an object."""
        if not isinstance(value, Mapping):
            raise self.error(f"{place} is {kind(value)}; an object is expected there")
        return value

    def optional_mapping(self, owner: Mapping[str, object], key: str, place: str) -> Mapping[str, object]:
        """Return an object, an empty one for what is absent or null."""
        value = owner.get(key)
        return {} if value is None else self.mapping(value, f"{place}.{key}")

    def items(self, owner: Mapping[str, object], key: str, place: str) -> Sequence[object]:
        """Return a list, an empty one for what is absent or null."""
        value = owner.get(key)
        if value is None:
            return ()
        if not isinstance(value, list | tuple):
            raise self.error(f"{place}.{key} is {kind(value)}; a list is expected there")
        return value

    def texts(self, owner: Mapping[str, object], key: str, place: str) -> list[str]:
        """Return a list of texts, an empty one for what is absent or null."""
        return [
            item if type(item) is str and item.isascii() else self.as_text(item, f"{place}.{key}[{index}]")
            for index, item in enumerate(self.items(owner, key, place))
        ]

    def text(self, owner: Mapping[str, object], key: str, place: str) -> str | None:
        """Return a text or None."""
        value = owner.get(key)
        if value is None or (type(value) is str and value.isascii()):
            return value
        return self.as_text(value, f"{place}.{key}")

    def as_text(self, value: object, place: str) -> str:
        """Return a text; numbers, which some programs write as ids and arguments, become text."""
        if isinstance(value, int | float) and not isinstance(value, bool):
            try:
                return str(value)
            except ValueError:
                raise self.error(f"{place} is a huge number; a text is expected there") from None
        if not isinstance(value, str):
            raise self.error(f"{place} is {kind(value)}; a text is expected there")
        try:
            value.encode()
        except UnicodeEncodeError:
            # Half of a surrogate pair: it can be read here but never be printed or written again.
            raise self.error(f"{place} is {value!r:.60}, which is not valid Unicode text") from None
        return value

    def identifier(self, owner: Mapping[str, object], place: str) -> str | None:
        """Return what something is known by: its id, else its name, else None."""
        return self.text(owner, "id", place) or self.text(owner, "name", place)

    def number(self, value: object, place: str, unit: str) -> int | float:
        """Return a finite number that is not negative."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{place} is {kind(value)}; a number of {unit} is expected there")
        # Compared with the largest float, because an integer may be larger than any float.
        if not 0 <= value <= sys.float_info.max:
            found = str(value) if isinstance(value, float) or abs(value) < 1 << 64 else "a huge number"
            raise self.error(f"{place} is {found}; {unit} are a finite number of at least 0")
        return value


def kind(value: object) -> str:
    """Return what JSON calls the kind of a value, with an article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, str):
        return f"the text {value!r:.40}"
    return "a number" if isinstance(value, int | float) else f"a {type(value).__name__}"
