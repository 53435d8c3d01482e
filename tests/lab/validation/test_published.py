"""Published rows predicted by coefficients from elsewhere."""

from flyball.lab.validation.judgement import median_error
from flyball.lab.validation.published import PUBLISHED, elsewhere, predict_from_elsewhere
from flyball.lab.validation.rows import EngineSet, by_engine, read_rows


def test_an_unheard_of_engine_has_none() -> None:
    assert elsewhere(EngineSet("gpt-oss-120b", "h100_sxm", "vllm", "", "", 1)) is None
    assert elsewhere(EngineSet("Llama-3.1-8B", "mi300x", "vllm", "", "", 1)) is None


def test_another_source_predicts_within_a_tenth_where_the_cache_suffices() -> None:
    """A bound on the presets: NIM and vLLM, measured by others, from aiconfigurator's rows."""
    for engine, rows in by_engine(read_rows(PUBLISHED)).items():
        known = elsewhere(engine)
        if known is not None:
            small = [row for row in rows if row.surely_fits and row.load.output_tokens <= 200]
            errors = [row.tpot_error for row in predict_from_elsewhere(small, known)]
            assert (median_error(errors) or 1) < 0.1, engine
