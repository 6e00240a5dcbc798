"""Texts to pydantic models: one call for 10 texts, and each answer checked by the model.

    python examples/extract_models.py                     # needs ANTHROPIC_API_KEY
    streams simulate python examples/extract_models.py    # needs no key: a simulator answers

An answer that the model refuses is asked for again, at most twice; after that an `ItemError` stands
in its place, as for every text that fails.
"""

import asyncio
import csv
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, field_validator

import streams


class Opinion(BaseModel):
    product: str = Field(description="what the text is about, in one or two words")
    mood: Literal["happy", "unhappy", "neither"]
    defects: list[str] = Field(description="what is broken or bad, a few words each; often none")

    @field_validator("product")
    @classmethod
    def not_empty(cls, product: str) -> str:
        if not product.strip():
            raise ValueError("names no product")
        return product.strip().lower()


async def main() -> None:
    with Path(__file__).with_name("reviews.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    opinion = streams.extract(Opinion, text="{/product}: {/review}")
    for row, found in zip(rows, await opinion(rows), strict=True):
        if isinstance(found, Opinion):
            print(f"{row['id']:>3}  {found.mood:8} {found.product:12} {', '.join(found.defects)}")
        else:
            print(f"{row['id']:>3}  failed: {found}")
    print(opinion.usage)


if __name__ == "__main__":
    asyncio.run(main())
