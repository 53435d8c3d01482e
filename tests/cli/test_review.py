"""`flyball review`: kept, made anew, shown in three forms, and decided upon."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from core.cases import objective, spec
from ledger.entries import DAY
from ledger.weeks import CHAT, MONDAY, fill, split

from flyball.cli.main import main
from flyball.ledger.reviews import keep, make, named
from flyball.ledger.store import Ledger

NOW = MONDAY + 14 * DAY
SPEC = spec(objectives=(objective("first-token", 0.95),))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The time of the ledger, and no cluster."""
    monkeypatch.setattr("flyball.cli.review.time.time", lambda: NOW / 1000)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A ledger with two weeks of rows and a review of the last."""
    url = str(tmp_path / "ledger.db")
    ledger = Ledger(url)
    fill(ledger, MONDAY, NOW)
    split(ledger, MONDAY, NOW)
    keep(ledger, make(ledger, named(ledger.calendar, "weekly-2025-W49"), [replace(SPEC, key=CHAT)], NOW), NOW)
    ledger.close()
    return url


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["review", *arguments])


def test_the_last_weekly_review_as_markdown(url: str) -> None:
    done = invoke("show", "--ledger", url)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == "# Weekly review of operations weekly-2025-W49"
    assert "$1209.60 for 203,280 requests, +0.0% against the period before; $630.00 went to GPUs" in done.output
    assert "| shop/chat | 705.60 | +0.0% | 201,600 | 0.0035 | -8.3% | 75.9% | met |  |" in done.output
    assert "LowerMinReplicas: 92% of GPU time was idle" in done.output


def test_where_the_money_went_by_segment_adds_up_to_the_bill(url: str) -> None:
    shown = invoke("show", "--ledger", url).output
    assert "## Where it went, by tenant" in shown
    assert "| tenant-00 | 14.00 | 1.2% |" in shown
    assert "| (bill) | 1209.60 |" in shown
    page = invoke("show", "--ledger", url, "-o", "html").output
    assert "<h2>Where it went, by tenant</h2>" in page
    assert "<td>(bill)</td><td>1209.60</td>" in page
    assert "prefers-color-scheme: dark" in page
    found = json.loads(invoke("show", "--ledger", url, "-o", "json").output)["segments"][0]
    assert (found["label"], found["dollars"], found["rows"][0]["name"]) == ("tenant", "1209.60", "tenant-00")


class Tags(HTMLParser):
    """Counts open tags, and notes those of scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag not in ("meta", "line", "circle", "polyline", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_shows_what_people_wrote_as_text(url: str, tmp_path: Path) -> None:
    note = '<script>alert(1)</script> & "more"'
    decided = invoke(
        "decide", "--ledger", url, "weekly-2025-W49", "Retire", "--workload", "lab/batch", "--note", note, "--by", "kim"
    )
    assert decided.exit_code == 0, decided.output
    out = tmp_path / "review.html"
    assert invoke("show", "--ledger", url, "weekly-2025-W49", "-o", "html", "--out", str(out)).exit_code == 0
    text = out.read_text(encoding="utf-8")
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert "script" not in tags.seen
    assert tags.seen.count("svg") >= 6
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;more&quot;" in text
    markdown = invoke("show", "--ledger", url, "weekly-2025-W49").output
    assert r"Retire for lab/batch, kim: \<script\>alert(1)\</script\> \& " in markdown


def test_json_has_the_decisions_too(url: str) -> None:
    invoke("decide", "--ledger", url, "weekly-2025-W49", "Accept", "--note", "as proposed", "--by", "kim")
    found = json.loads(invoke("show", "--ledger", url, "weekly", "-o", "json").output)
    assert (found["id"], found["decisions"][0]["decision"]) == ("weekly-2025-W49", "Accept")
    assert json.loads(invoke("list", "--ledger", url, "-o", "json").output)[0]["decisions"] == 1


def test_one_that_was_not_kept_is_made_and_says_what_it_lacks(url: str) -> None:
    done = invoke("show", "--ledger", url, "monthly-2025-12")
    assert done.exit_code == 0, done.output
    assert "targets and worth of answers are not known: no way to the API server" in done.output
    assert "**Unproven**: the workload is no longer declared" in done.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["show", "weekly-2020-W10"], "the ledger has nothing of weekly-2020-W10", id="nothing then"),
        pytest.param(["show", "yesterday"], "'yesterday' is no review", id="no name"),
        pytest.param(
            ["decide", "weekly-2020-W10", "Keep", "--note", "x", "--by", "k"], "there is no review", id="none"
        ),
        pytest.param(["decide", "weekly-2025-W49", "Maybe", "--note", "x"], "'Maybe' is not one of", id="no decision"),
        pytest.param(["decide", "weekly-2025-W49", "Keep"], "Missing option '--note'", id="no reason"),
    ],
)
def test_what_cannot_be_shown_or_decided_says_why(url: str, arguments: list[str], said: str) -> None:
    done = invoke(arguments[0], "--ledger", url, *arguments[1:])
    assert done.exit_code != 0
    assert said in done.output
