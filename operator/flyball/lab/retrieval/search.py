"""What the application searches: passages, ranked by words, and then by pairs of words, shared with a question."""

import re
from dataclasses import dataclass
from itertools import pairwise

PASSAGES = (
    "An order can be returned within thirty days of delivery, unused and in its box.",
    "A refund reaches the card it was paid with five working days after the parcel is back.",
    "Delivery takes two to four working days; express delivery comes the next day before noon.",
    "A parcel that is marked as delivered and is not there is searched for by the carrier first.",
    "The guarantee covers two years from the invoice's date, and batteries one year.",
    "An address can be changed until the parcel has left the warehouse.",
    "Gift cards are valid for three years and can be used for several orders.",
    "Invoices are sent by mail with every parcel and stand in the account at any time.",
    "An account is deleted within a month; orders that are open are finished first.",
    "Repairs are free within the guarantee; after it the workshop says what they cost first.",
)


@dataclass(frozen=True, slots=True)
class Found:
    """A passage by its number, and how well it fits."""

    number: int
    score: float

    @property
    def text(self) -> str:
        """The passage."""
        return PASSAGES[self.number]


def retrieve(question: str, most: int = 6) -> list[Found]:
    """The passages that share most words with the question, those first that are shorter."""
    asked = set(_words(question))
    scored = [Found(n, len(asked & set(_words(text))) / len(_words(text))) for n, text in enumerate(PASSAGES)]
    return sorted(scored, key=lambda found: (-found.score, found.number))[:most]


def rerank(question: str, found: list[Found], most: int = 3) -> list[Found]:
    """Of those, the ones that share most pairs of neighbouring words, too."""
    asked = set(_pairs(question))
    scored = [Found(f.number, f.score + len(asked & set(_pairs(f.text)))) for f in found]
    return sorted(scored, key=lambda each: (-each.score, each.number))[:most]


def prompt(question: str, passages: list[Found]) -> str:
    """What the model is asked."""
    quoted = "\n".join(f"[{found.number}] {found.text}" for found in passages)
    return f"Answer from these passages, and name them.\n{quoted}\nQuestion: {question}\nAnswer:"


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def _pairs(text: str) -> list[tuple[str, str]]:
    words = _words(text)
    return list(pairwise(words))
