"""Whatever was decided comes out of its record again, bit for bit; and what differs is named."""

import math
from dataclasses import replace
from decimal import Decimal

import pytest
from core import cases, worlds
from hypothesis import given, settings

from flyball.core.decide import decide
from flyball.core.memory import Memory
from flyball.ledger.record import SCHEMA, UnreadableRecord, decode, encode, record_of
from flyball.ledger.replay import Difference, replay

EXAMPLES = settings(max_examples=30)


def recorded(tick: worlds.Tick):
    return record_of(tick.spec, tick.seen, tick.before, tick.decision)


def one():
    spec = cases.spec(cases.variant())
    seen = cases.observation(signal=(cases.signals(),), state=(cases.running(),))
    decision, _ = decide(spec, seen, Memory())
    return record_of(spec, seen, Memory(), decision)


@EXAMPLES
@given(worlds.stories(worlds.wild))
def test_whatever_a_port_hands_in_replays_bit_for_bit(story):
    for tick in story:
        assert replay(decode(encode(recorded(tick)))).differences == ()


@EXAMPLES
@given(worlds.stories(worlds.sound, most=8))
def test_what_sound_telemetry_led_to_replays_bit_for_bit(story):
    for tick in story:
        assert replay(decode(encode(recorded(tick)))).differences == ()


@pytest.mark.parametrize("number", [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, math.inf, -math.inf, math.nan])
def test_every_float_keeps_its_bits(number):
    record = one()
    moved = replace(record, observation=replace(record.observation, at=number))
    assert repr(decode(encode(moved)).observation.at) == repr(number)


@pytest.mark.parametrize("amount", ["0.10", "1E+3", "0.123456789012345678901234567890"])
def test_money_keeps_every_digit(amount):
    record = one()
    spec = replace(record.spec, value_per_request=Decimal(amount))
    assert str(decode(encode(replace(record, spec=spec))).spec.value_per_request) == amount


@pytest.mark.parametrize(
    ("tampered", "paths"),
    [
        pytest.param(lambda d: replace(d, summary="another"), ["summary"], id="a text"),
        pytest.param(lambda d: replace(d, at=math.nextafter(d.at, 0)), ["at"], id="the last bit of a number"),
        pytest.param(
            lambda d: replace(d, variants=(replace(d.variants[0], desired=7),)), ["variants[0].desired"], id="a count"
        ),
        pytest.param(lambda d: replace(d, variants=()), ["variants[0]"], id="an entry less"),
        pytest.param(lambda d: replace(d, capacity_per_replica=None), ["capacity_per_replica"], id="a number gone"),
    ],
)
def test_a_decision_that_was_not_made_like_that_is_found_out(tampered, paths):
    record = one()
    found = replay(decode(encode(replace(record, decision=tampered(record.decision)))))
    assert not found.equal
    assert [difference.path for difference in found.differences] == paths


def test_a_difference_shows_both_values():
    record = one()
    found = replay(replace(record, decision=replace(record.decision, summary="another")))
    assert found.differences == (Difference("summary", '"another"', f'"{record.decision.summary}"'),)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(b"{", "JSON", id="a torn line"),
        pytest.param(b"{}", "id: Field required", id="no record"),
        pytest.param(
            encode(one()).replace(f'"schema":{SCHEMA}'.encode(), b'"schema":99'), "schema 99 is not 1", id="a later one"
        ),
    ],
)
def test_what_is_no_record_is_refused_with_a_reason(line, message):
    with pytest.raises(UnreadableRecord, match=message):
        decode(line)
