"""Length of a prompt, and how much of it a prefix cache holds.

Without a tokenizer: a token is four characters of text; a prompt given as a list of token ids has exactly that many
tokens. The prefix cache knows prompts by chained hashes of whole blocks, as vLLM's does, and forgets the least recently
used. It holds as many blocks as the KV cache has, whatever running requests occupy: an optimistic bound.
"""

from collections import OrderedDict
from collections.abc import Sequence

CHARACTERS_PER_TOKEN = 4

Prompt = str | Sequence[int]


def count_tokens(prompt: Prompt) -> int:
    """Tokens of a prompt; at least one, for the token that begins every text."""
    if isinstance(prompt, str):
        return max(1, -(-len(prompt) // CHARACTERS_PER_TOKEN))
    return len(prompt)


def block_hashes(prompt: Prompt, block_tokens: int) -> list[int]:
    """One hash for each whole block, of its content and everything before it."""
    step = block_tokens * CHARACTERS_PER_TOKEN if isinstance(prompt, str) else block_tokens
    hashes: list[int] = []
    parent = 0
    for start in range(0, len(prompt) - step + 1, step):
        block = prompt[start : start + step]
        parent = hash((parent, block if isinstance(block, str) else tuple(block)))
        hashes.append(parent)
    return hashes


class PrefixCache:
    """Hashes of the blocks computed lately, at most `capacity_blocks`."""

    __slots__ = ("_blocks", "_capacity")

    def __init__(self, capacity_blocks: int) -> None:
        self._capacity = capacity_blocks
        self._blocks: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._blocks)

    def match(self, hashes: Sequence[int]) -> int:
        """How many leading blocks are held; they count as used."""
        held = 0
        for block in hashes:
            if block not in self._blocks:
                break
            self._blocks.move_to_end(block)
            held += 1
        return held

    def insert(self, hashes: Sequence[int]) -> None:
        """Remember the blocks of a prompt that has been computed."""
        for block in hashes:
            self._blocks[block] = None
            self._blocks.move_to_end(block)
        while len(self._blocks) > self._capacity:
            self._blocks.popitem(last=False)
