"""Prompt lengths without a tokenizer, and a prefix cache that forgets the least recently used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.lab.modelserver.prompts import PrefixCache, Prompt, block_hashes, count_tokens

PROMPT = list(range(64))


@pytest.mark.parametrize(
    ("prompt", "tokens"),
    [
        pytest.param("", 1, id="nothing is still one token"),
        pytest.param("abcd", 1, id="four characters"),
        pytest.param("abcde", 2, id="five characters"),
        pytest.param([7] * 1154, 1154, id="token ids are counted"),
    ],
)
def test_count_tokens(prompt: Prompt, tokens: int) -> None:
    assert count_tokens(prompt) == tokens


@pytest.mark.parametrize(
    ("other", "shared"),
    [
        pytest.param(PROMPT, 4, id="the same prompt"),
        pytest.param([*PROMPT, 1, 2], 4, id="a longer one"),
        pytest.param([*PROMPT[:40], *[0] * 24], 2, id="parting within the third block"),
        pytest.param([99, *PROMPT[1:]], 0, id="parting at the first token"),
        pytest.param(PROMPT[16:], 0, id="the same blocks at another place"),
        pytest.param(PROMPT[:15], 0, id="less than one block"),
    ],
)
def test_prompts_share_the_blocks_up_to_where_they_part(other: list[int], shared: int) -> None:
    cache = PrefixCache(100)
    cache.insert(block_hashes(PROMPT, 16))
    assert cache.match(block_hashes(other, 16)) == shared


def test_text_is_cut_into_blocks_of_the_same_number_of_tokens() -> None:
    text = "x" * 200
    assert len(block_hashes(text, 16)) == count_tokens(text) // 16 == 3


def test_the_least_recently_used_blocks_are_forgotten_first() -> None:
    cache = PrefixCache(2)
    cache.insert([1])
    cache.insert([2])
    assert cache.match([1]) == 1
    cache.insert([3])
    assert [cache.match([block]) for block in (1, 2, 3)] == [1, 0, 1]


@given(st.integers(0, 8), st.lists(st.lists(st.integers(0, 20), max_size=10)))
def test_a_cache_never_holds_more_than_it_may(capacity: int, prompts: list[list[int]]) -> None:
    cache = PrefixCache(capacity)
    for hashes in prompts:
        cache.insert(hashes)
        assert len(cache) <= capacity
