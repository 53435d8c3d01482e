"""Profiles as data: what every one of them must hold to."""

from pathlib import Path

import pytest

from flyball.api.v1alpha1 import words
from flyball.api.v1alpha1.words import EngineProfile as EngineWord
from flyball.api.v1alpha1.words import GatewayProfile as GatewayWord
from flyball.telemetry import overrides
from flyball.telemetry.discovery import engine_of
from flyball.telemetry.profiles import CUSTOM, ENGINES, GATEWAYS, EngineProfile, GatewayProfile
from flyball.telemetry.profiles.listing import engine_signals, gateway_signals, series_of
from flyball.telemetry.profiles.table import page

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "profiles.md"
ALL = [*ENGINES.values(), *GATEWAYS.values()]


def test_the_page_says_what_the_data_says() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: flyball telemetry profiles > docs/reference/profiles.md"


def test_every_word_of_the_api_has_a_profile() -> None:
    assert {*ENGINES, CUSTOM} == set(EngineWord)
    assert {*GATEWAYS, CUSTOM} == set(GatewayWord)


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_a_profile_says_where_it_is_from_and_what_it_lacks(profile: EngineProfile | GatewayProfile) -> None:
    signals = engine_signals(profile) if isinstance(profile, EngineProfile) else gateway_signals(profile)
    assert profile.origin.versions
    assert profile.origin.source
    for signal, sources in signals.items():
        assert sources or isinstance(profile, GatewayProfile) or profile.origin.lacks.get(signal), signal


@pytest.mark.parametrize("profile", ALL, ids=lambda profile: profile.name)
def test_edges_rise(profile: EngineProfile | GatewayProfile) -> None:
    for histograms in profile.latencies.values():
        for histogram in histograms:
            assert list(histogram.edges) == sorted(set(histogram.edges))


@pytest.mark.parametrize("profile", ENGINES.values(), ids=lambda profile: profile.name)
def test_an_engine_is_recognized_by_all_that_it_exports(profile: EngineProfile) -> None:
    assert engine_of(frozenset((*series_of(engine_signals(profile)), *profile.signs))) in (profile.name, "VLLM")
    for sign in profile.signs:
        assert engine_of(frozenset({sign})) == profile.name


def test_what_nobody_exports_is_no_engine() -> None:
    assert engine_of(frozenset({"up", "vllm:time_to_first_token_seconds_count"})) == ""


def test_every_signal_of_every_engine_may_be_overridden() -> None:
    signals = {name for profile in ENGINES.values() for name in engine_signals(profile)}
    assert signals | {"GPUUtilization"} <= set(overrides.NAMES) == set(words.Signal)
