"""Who may report outcomes is asked of the API server, and not again within a minute."""

from typing import Any

import pytest

from flyball.cluster.reviews import ACCESS_REVIEWS, KEPT_SECONDS, TOKEN_REVIEWS, Reviews
from flyball.core.names import WorkloadKey

CHAT = WorkloadKey("shop", "chat")
USER = {"username": "system:serviceaccount:shop:crm", "uid": "7", "groups": ["system:authenticated"], "extra": None}


class Api:
    """Knows one token, and lets its holder report of chat only."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, dict[str, Any]]] = []

    async def create(self, resource: Any, namespace: str, body: dict[str, Any]) -> dict[str, Any]:
        assert namespace == ""
        self.asked.append((resource, body["spec"]))
        if resource == TOKEN_REVIEWS:
            known = body["spec"]["token"] == "good"
            return {"status": {"authenticated": True, "user": USER} if known else {"error": "invalid"}}
        return {"status": {"allowed": body["spec"]["resourceAttributes"]["name"] == "chat"}}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize(("token", "known"), [("good", USER), ("bad", None)])
async def test_a_token_is_reviewed_once_a_minute(api: Api, token: str, known: dict[str, Any] | None) -> None:
    clock = Clock()
    reviews = Reviews(api, clock)  # type: ignore[arg-type]
    for clock.now in (0.0, 1.0, KEPT_SECONDS - 1, KEPT_SECONDS):
        assert await reviews.user(token) == known
    assert [resource for resource, _ in api.asked] == [TOKEN_REVIEWS] * 2


async def test_access_is_asked_for_by_user_and_workload(api: Api) -> None:
    reviews = Reviews(api)  # type: ignore[arg-type]
    for _ in range(2):
        assert await reviews.may_report(USER, CHAT)
        assert not await reviews.may_report(USER, WorkloadKey("shop", "search"))
    assert [resource for resource, _ in api.asked] == [ACCESS_REVIEWS] * 2
    assert api.asked[0][1] == {
        "user": USER["username"], "uid": "7", "groups": ["system:authenticated"], "extra": {},
        "resourceAttributes": {
            "group": "flyball.dev", "resource": "workloadslos", "subresource": "outcomes", "verb": "create",
            "namespace": "shop", "name": "chat",
        },
    }  # fmt: skip


async def test_another_users_answer_is_not_taken_for_this_ones(api: Api) -> None:
    reviews = Reviews(api)  # type: ignore[arg-type]
    await reviews.may_report(USER, CHAT)
    await reviews.may_report({**USER, "groups": ["others"]}, CHAT)
    assert len(api.asked) == 2


async def test_no_flood_of_tokens_fills_the_memory(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flyball.cluster.reviews.MOST_KEPT", 3)
    reviews = Reviews(api)  # type: ignore[arg-type]
    for number in range(20):
        assert await reviews.user(f"token {number}") is None
        assert len(reviews._kept) <= 3
