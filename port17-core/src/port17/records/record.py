"""What all signed records share: strict models that travel as deterministic CBOR maps.

A field that a reader does not know is refused, since it may change what the record means, unless its name
begins with an underscore: such a field may be ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from port17.errors import RecordError
from port17.records import cbor
from port17.records.framing import BytesLike

NAME_CAP = 64
"""Longest PortName, group, transport, suite, scheme or flag, characters."""
PORT_NAME_PATTERN = r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$"
"""What fits a DNS label and a file name; printed on a terminal it can do no harm."""
DRIVER_NAME_PATTERN = r"^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$"
"""The stable wire name of a suite, a scheme, a transport or a flag."""
FAR_FUTURE_S = 1 << 40
"""Largest Unix second in a record, some 34,000 years ahead: arithmetic on it stays within 64 bits."""
HASH_SIZE = 32
"""Bytes of a SHA-256 hash, and so of network ids and fingerprints."""

Hash: TypeAlias = Annotated[bytes, Field(min_length=HASH_SIZE, max_length=HASH_SIZE)]
UnixSecond: TypeAlias = Annotated[int, Field(ge=0, le=FAR_FUTURE_S)]
Sequence64: TypeAlias = Annotated[int, Field(ge=0, lt=1 << 63)]
PortName: TypeAlias = Annotated[str, Field(pattern=PORT_NAME_PATTERN)]
DriverName: TypeAlias = Annotated[str, Field(pattern=DRIVER_NAME_PATTERN)]

LAX = Field(strict=False)
"""For fields that are tuples here and lists on the wire; their elements stay strict."""


class Record(BaseModel):
    """One signed (or hashed) thing, immutable."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    @classmethod
    def from_cbor(cls, data: BytesLike, *, cap: int) -> Self:
        """The record of its encoding.

        :param cap: most bytes accepted.
        :raises RecordError: malformed, over a cap, or with an unknown field that may matter.
        """
        return cls.from_value(cbor.decode(data, cap=cap))

    @classmethod
    def from_value(cls, value: object) -> Self:
        """The record of a decoded CBOR value.

        :raises RecordError: as :meth:`from_cbor`.
        """
        if isinstance(value, dict):
            value = {key: held for key, held in value.items() if not str(key).startswith("_")}
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            raise RecordError(f"not a valid {cls.__name__}: {_summary(error)}") from error

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's; what a record has worked out of its fields is worked out anew."""
        copied = super().model_copy(update=update, deep=deep)
        for name in copied.__dict__.keys() - type(self).model_fields.keys():
            del copied.__dict__[name]
        return copied

    @classmethod
    def made(cls, **fields: Any) -> Self:
        """A record from our own values, with the same checks and the same error as one from outside.

        :raises RecordError: a field is missing, unknown or over a cap.
        """
        return cls.from_value(fields)

    def to_value(self) -> dict[str, Any]:
        """The map that is encoded; fields that are None or empty by default are written all the same."""
        return self.model_dump()

    def to_cbor(self) -> bytes:
        """The one encoding."""
        return cbor.encode(self.to_value())


def _summary(error: ValidationError) -> str:
    """The first thing wrong, by its place; never the value, which may be long or hostile."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:NAME_CAP] for part in first["loc"]) or "the whole"
    more = error.error_count() - 1
    return f"{place}: {first['msg'].removeprefix('Value error, ')}" + (f" (and {more} more)" if more else "")
