import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from support.lab_runs import made_conclusion, made_run

from flyball.lab.report.page import page
from flyball.lab.report.plots import frontier_svg, timeline_svg
from flyball.lab.suite.conclusion import Conclusion
from flyball.lab.suite.results import Role

VOID = {"meta", "br", "link", "img", "use"}


class Outline(HTMLParser):
    """Collects what a page loads, its links and ids, and checks that its elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.loaded += [value for name, value in attrs if name in ("src", "data", "poster") and value]
        if tag in ("script", "link", "iframe", "object"):
            self.loaded.append(tag)
        if tag == "a":
            self.links.append(known.get("href") or "")
        if known.get("id"):
            self.ids.append(str(known["id"]))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()


def conclusion(name: str = "made") -> Conclusion:
    return made_conclusion(
        made_run(role=Role.BOUND, policy="floor", cost=4.0),
        made_run(policy="oracle", cost=8.0),
        made_run(ttft=0.97, cost=9.0, ratios={"kpa*": 0.75}),
        made_run(role=Role.SWEEP, knobs={"maxInsurance": 0.5}, ttft=0.93, cost=7.0),
        made_run(policy="kpa*", role=Role.TUNED, knobs={"target": 2.0}, ttft=0.96, cost=12.0),
        made_run(policy="kpa", ttft=0.5, cost=8.0),
        name=name,
    )


@pytest.fixture(scope="module")
def html() -> str:
    skipped = made_conclusion(name="gone", skipped="its trace <x> is not at hand")
    both = [conclusion("one & two"), conclusion("three")]
    fewer = [replace(made, series={name: made.series[name] for name in ("flyball", "kpa*")}) for made in both]
    return page([*fewer, skipped], "flyball lab run <x>", "today", "1.0")


def test_a_page_needs_nothing_else_and_its_links_lead_somewhere(html: str) -> None:
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    assert outline.loaded == []
    assert all(link.startswith("#") and link[1:] in outline.ids for link in outline.links)
    # Addresses are names of XML's vocabularies, and nothing is fetched from them.
    assert not re.search(r"""(url\(|@import|href=)["']?https?:""", html.replace('xlink:href="#', ""))
    assert "<script" not in html


def test_a_page_has_its_verdict_tables_and_captions(html: str) -> None:
    assert "flyball lab run &lt;x&gt;" in html
    assert "one &amp; two" in html
    assert "gone: its trace &lt;x&gt; is not at hand." in html
    assert html.count("<svg") == 2 * (1 + 2)
    assert "At equal attainment, against the other rivals tuned in hindsight, it cost 0.75 ×" in html
    assert "Chosen in hindsight: kpa*: target=2." in html
    assert "The line at 2.0 GPU-hours is the floor." in html
    assert html.count("<figcaption>") == html.count("<figure>") == html.count("<svg")


def test_pictures_name_their_axes_with_units_and_the_same_data_give_the_same_bytes() -> None:
    made = conclusion()
    frontier = frontier_svg(made)
    assert "GPU-hours (left is cheaper)" in frontier
    assert "late requests ÷ late requests allowed" in frontier
    assert "floor: no policy can be left of this" in frontier
    assert all(f">{name}<" in frontier for name in ("flyball", "oracle", "kpa", "kpa*"))
    timeline = timeline_svg(made, "flyball")
    assert all(f">{text}<" in timeline for text in ("requests/s", "replicas paid", "objective 1s", "clairvoyant plan"))
    assert "minutes since the beginning" in timeline
    assert "never came" in timeline
    assert (frontier, timeline) == (frontier_svg(made), timeline_svg(made, "flyball"))


def test_pictures_of_one_page_share_no_ids(html: str) -> None:
    ids = [set(re.findall(r'id="([^"]+)"', svg)) for svg in re.findall(r"<svg.*?</svg>", html, re.DOTALL)]
    clips = [{name for name in found if re.fullmatch(r"[pm][0-9a-f]{8,}", name)} for found in ids]
    assert sum(map(len, clips)) == len(set().union(*clips))


def test_costs_are_dollars_where_variants_differ() -> None:
    made = made_conclusion(made_run(cost=9.0), made_run(policy="kpa", cost=8.0), by_cost=True)
    assert ">dollars<" in frontier_svg(made)


def test_a_policy_alone_can_be_drawn() -> None:
    assert "<svg" in frontier_svg(made_conclusion(made_run(ttft=1.0, itl=1.0)))
