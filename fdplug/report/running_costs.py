"""What ten thousand images would cost: plain arithmetic on the measured seconds, under stated assumptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fdplug.checks import number

IMAGES = 10_000
FORMULAS = (
    f"hours = {IMAGES:,} x seconds per image / 3600",
    "price = hours x price per hour",
    "energy in kWh = hours x power in W / 1000",
    "CO2 in kg = energy x grid intensity in g/kWh / 1000",
)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Assumptions, none of them measured; the defaults are round examples.

    Args:
        power: of the whole machine while it generates, in W.
        price: of an hour, in any currency.
        carbon: of the electricity, in g of CO2 per kWh.
    """

    power: float = 300.0
    price: float = 1.0
    carbon: float = 400.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            number(name, value, 0)


def cost(seconds: float, rates: Rates) -> dict[str, float]:
    """Hours, price, kWh and kg of CO2 for `IMAGES` images of so many seconds each."""
    hours = IMAGES * seconds / 3600
    energy = hours * rates.power / 1000
    return {"hours": hours, "price": hours * rates.price, "energy": energy, "carbon": energy * rates.carbon / 1000}


def costs(rows: Sequence[Mapping[str, Any]], rates: Rates) -> list[dict[str, Any]]:
    """One estimate per variant."""
    return [
        {"name": row["name"], "seconds": row["seconds_per_image"], **cost(row["seconds_per_image"], rates)}
        for row in rows
    ]
