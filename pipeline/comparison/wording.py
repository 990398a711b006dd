"""Numbers and nouns of a verdict's sentences."""

from __future__ import annotations

from pipeline.units import factor, in_points, written


def amounts(metric: str, *values: float) -> list[str]:
    """Write values of a metric that belong together, in points where it is a share."""
    return written(tuple(factor(metric) * value for value in values), metric)


def signed(text: str) -> str:
    """Put a plus before what is neither negative nor nothing."""
    return text if text.startswith("\N{MINUS SIGN}") or not float(text) else f"+{text}"


def with_unit(metric: str, value: float) -> str:
    """Write one value with its unit."""
    (text,) = amounts(metric, value)
    return f"{text} {'point' if text == '1.0' else 'points'}" if in_points(metric) else text


def count(number: int, word: str) -> str:
    """Write a number with its noun: "1 seed", "1,000 rows"."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")
