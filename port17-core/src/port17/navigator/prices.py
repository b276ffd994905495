"""Price lists: what an attack is made of, what each part costs, and who says so. Parses TOML; the list that
is used if nobody gives one is the command line's.
"""

from __future__ import annotations

import tomllib
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from port17.errors import ConfigError

LIST_CAP: Final = 64 * 1024
"""Longest list, bytes."""
TEXT_CAP: Final = 500
"""Longest sentence in it, characters."""
AMOUNT_CAP: Final = 1e12
"""Largest amount: more than all that states spend."""

Text = Annotated[str, Field(min_length=1, max_length=TEXT_CAP)]
Amount = Annotated[float, Field(ge=0, le=AMOUNT_CAP, allow_inf_nan=False)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Price(_Entry):
    """What somebody asked, or paid.

    :param value: how much.
    :param currency: of ``value``; empty for an amount that is no money.
    :param what: what one gets for it.
    :param date: when that was so.
    :param source: where it can be read.
    """

    value: Amount
    currency: Literal["EUR", "USD", ""] = "EUR"
    what: Text
    date: date
    source: Text


class Assumption(_Entry):
    """What nobody publishes.

    :param why: why so much and not less.
    """

    value: Amount
    what: Text
    why: Text


class Prices(_Entry):
    """Everything that is bought.

    :param usd: euros for a dollar.
    :param server: a rented machine with a public address, a month.
    :param traffic: a terabyte beyond what it includes.
    :param traffic_included: terabytes a month.
    :param hour: an hour of work.
    :param order: to have one provider watched by order of a court, once.
    :param order_days: how long that lasts, days.
    :param insider: somebody who has a right to be where he is, a month.
    :param network: to be in a provider's network without right, a month.
    """

    usd: Price
    server: Price
    traffic: Price
    traffic_included: Price
    hour: Price
    order: Price
    order_days: Price
    insider: Price
    network: Price


class Assumptions(_Entry):
    """Everything that is guessed.

    :param server_traffic: terabytes a month that a hostile node carries.
    :param server_hours: of work to set one up.
    :param server_hours_month: of work to keep one, a month.
    :param provider_hours: of work per provider that machines are rented of.
    :param servers_per_provider: machines rented of one.
    :param insider_hours: of work to find and win one.
    :param network_hours: of work per network.
    :param order_hours: of work per order.
    """

    server_traffic: Assumption
    server_hours: Assumption
    server_hours_month: Assumption
    provider_hours: Assumption
    servers_per_provider: Assumption
    insider_hours: Assumption
    network_hours: Assumption
    order_hours: Assumption


class PriceList(_Entry):
    """A whole list.

    :param name: what it is called.
    """

    name: Text
    prices: Prices
    assumptions: Assumptions

    @classmethod
    def parse(cls, data: bytes, where: str) -> PriceList:
        """The list of a TOML file.

        :param where: what the file is called, for errors.
        :raises ConfigError: it is none.
        """
        cure = "Begin with a copy of what `port17 promise --show-prices` prints."
        if len(data) > LIST_CAP:
            raise ConfigError(f"{where} is longer than {LIST_CAP} bytes.", cure=cure)
        try:
            found = cls.model_validate(tomllib.loads(data.decode()))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ConfigError(f"{where} is no price list: {place}: {first['msg']}.", cure=cure) from error
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where} is no TOML: {error}.", cure=cure) from error
        for name in ("server_traffic", "servers_per_provider"):
            if getattr(found.assumptions, name).value <= 0:
                raise ConfigError(f"{where}: {name} is nothing.", cure="Give more than 0.")
        if found.prices.order_days.value <= 0:
            raise ConfigError(f"{where}: order_days is nothing.", cure="Give more than 0.")
        return found

    def eur(self, price: Price) -> float:
        """The price in euros."""
        return price.value * (self.prices.usd.value if price.currency == "USD" else 1.0)

    def work(self, assumption: Assumption) -> float:
        """Hours of work in euros."""
        return assumption.value * self.eur(self.prices.hour)
