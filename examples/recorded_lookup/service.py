"""The live weather service; it stands for an API that is slow, costs money or must not be loaded."""

from typing import Any, Literal

from turnwright import ToolError
from turnwright.core.seeding import generator

CITIES = (
    *("Bergen", "Cusco", "Dakar", "Hanoi", "Lagos", "Minsk", "Oslo", "Quito"),
    *("Perth", "Sofia", "Tunis", "Turin", "Utrecht"),
)
DAYS = ("mon", "tue", "wed", "thu", "fri")
SKIES = ("clear", "clouds", "rain", "fog", "snow")
STATIONS = {city: 4000 + 37 * number for number, city in enumerate(CITIES)}


def find_station(city: str) -> dict[str, Any]:
    """Return the number of a city's weather station.

    Args:
        city: Name of the city.
    """
    if city not in STATIONS:
        raise ToolError(f"no station in {city}")
    return {"station": STATIONS[city]}


def read_station(station: int, day: Literal["mon", "tue", "wed", "thu", "fri"]) -> dict[str, Any]:
    """Return what a station measured on a day.

    Args:
        station: Number of the station.
        day: Day of the week.
    """
    if station not in STATIONS.values():
        raise ToolError(f"no station {station}")
    random = generator("weather", station, day)
    return {"sky": random.choice(SKIES), "wind_kmh": random.randint(0, 60), "temperature": random.randint(-9, 31)}
