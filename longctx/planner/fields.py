"""Fields of a config.json, read with care: every refusal names the field and its value. Knows no architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from longctx.errors import PlanError

#: Larger numbers are no sizes of a model but nonsense, and would only make the arithmetic slow.
MOST = 100_000_000
MOST_LAYERS = 10_000


class Fields:
    """A config's fields with the defaults of its family.

    Args:
        config: the decoded JSON object, or a part of it.
        defaults: what the family's config class takes where a field is missing.
        name: the model's name, for messages.

    >>> Fields({"hidden_size": 576}, name="smol").size("hidden_size")
    576
    """

    def __init__(self, config: Mapping[str, Any], defaults: Mapping[str, Any] | None = None, *, name: str = "") -> None:
        self._config = config
        self._defaults = defaults or {}
        self.name = name or str(config.get("model_type", "the model"))

    def __contains__(self, field: str) -> bool:
        return self.get(field) is not None

    def get(self, field: str, default: Any = None) -> Any:
        """The field as it stands; null counts as missing only where no default would take its place."""
        if field in self._config:
            return self._config[field]
        return self._defaults.get(field, default)

    def all(self) -> Mapping[str, Any]:
        """Every field, the family's defaults among them."""
        return {**self._defaults, **self._config}

    def size(self, field: str, default: int | None = None, *, most: int = MOST) -> int:
        """A positive whole number.

        Raises:
            PlanError: it is missing, no whole number, or out of range.
        """
        value = self.get(field)
        value = default if value is None else value
        if value is None:
            raise PlanError(f"{self.name}: config.json has no {field!r}", hint=_HINT)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= most:
            raise PlanError(f"{self.name}: {field} is {value!r} in config.json, which is no size", hint=_HINT)
        return value

    def optional(self, field: str) -> int:
        """A positive whole number, or 0 where the field is missing or null."""
        return self.size(field) if field in self else 0

    def flag(self, field: str, default: bool = False) -> bool:
        """True or false.

        Raises:
            PlanError: it is neither.
        """
        value = self.get(field, default)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise PlanError(f"{self.name}: {field} is {value!r} in config.json, neither true nor false", hint=_HINT)
        return value

    def items(self, field: str) -> tuple[Any, ...] | None:
        """A list, or None where the field is missing or null.

        Raises:
            PlanError: it is no list.
        """
        value = self.get(field)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)):
            raise PlanError(f"{self.name}: {field} is {value!r} in config.json, which is no list", hint=_HINT)
        return tuple(value)

    def part(self, field: str) -> Mapping[str, Any] | None:
        """A nested object, or None where the field is missing or null.

        Raises:
            PlanError: it is no object.
        """
        value = self.get(field)
        if value is not None and not isinstance(value, Mapping):
            raise PlanError(f"{self.name}: {field} is {value!r} in config.json, which is no object", hint=_HINT)
        return value


_HINT = "give a model whose config.json is complete; download it again if it should be"
