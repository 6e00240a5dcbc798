"""A stream enriched by a function of your own: one SQL query for up to 100 records.

    export STREAMS_CONFIG=examples/streams.toml
    streams broker --port 9092          # for trying out; or your Kafka: docker compose up -d

    streams publish reviews examples/reviews.csv             # in a second terminal
    streams worker --app examples.stream_function:app        # Ctrl-C ends it
    streams tail reviews.products --count 3                  # in a third

Results come in the order of each partition, and offsets are committed behind them: a worker that
dies loses nothing. What the catalogue does not have becomes a dead letter in `reviews.dead`.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

from streams import App, Item, ItemError

app = App.from_config()  # a faust.App: agents, tables and timers work as ever

catalogue = sqlite3.connect(":memory:", check_same_thread=False)
catalogue.execute("create table products (name primary key, maker, price_usd)")
catalogue.executemany(
    "insert into products values (?, ?, ?)",
    [
        ("kettle", "Boreal", 39.9),
        ("lamp", "Lumen & Sons", 24.5),
        ("backpack", "Trail", 89),
        ("headphones", "Clear", 59),
    ],
)


@app.microbatch(
    source="reviews", sink="reviews.products", text="/review", max_items=100, mode="merge"
)
def products(items: Sequence[Item]) -> list[dict[str, Any] | ItemError]:
    """One answer for each item, in their order. A plain function: runs in a thread."""
    names = {item.value["product"] for item in items}
    marks = ", ".join("?" * len(names))
    found = catalogue.execute(f"select * from products where name in ({marks})", [*names])
    facts = {name: {"maker": maker, "price_usd": price} for name, maker, price in found}
    unknown = ItemError("unknown_product", "the catalogue has no such product")
    return [facts.get(item.value["product"], unknown) for item in items]
