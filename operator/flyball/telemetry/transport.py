"""One question to Prometheus and its answer; whatever goes wrong becomes a sentence that says what to do.

Over prometheus-api-client, with what it lacks: the query in the body (its POST puts it into the URL, which proxies cut
off at 8 kB), a deadline for the whole answer rather than for each read from the socket, a limit on the answer's size,
no retries (the next tick asks again), no redirects, and a token that is read anew for every request.
"""

import ast
import io
import json
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import requests
from prometheus_api_client import PrometheusApiClientException, PrometheusConnect
from requests.auth import AuthBase
from typing_extensions import override
from urllib3.util.retry import Retry

from flyball.telemetry.answers import Answer, MalformedAnswer, RangeAnswer, parse_matrix, parse_rows
from flyball.telemetry.settings import PrometheusSettings

Rows = TypeVar("Rows")

_CHUNK_BYTES = 64 * 1024
CLOCKS_AGREE_SECONDS = 2.0
"""Clocks that differ by no more are said to agree."""
_REFUSED = re.compile(r"HTTP Status Code (\d{3}) \((b.*)\)", re.DOTALL)
"""How prometheus-api-client words a refusal: the status, and the body as Python writes bytes."""
_MOST_OF_A_MESSAGE = 200
LATE = "did not answer in time: look at its load, or raise prometheus.timeout"
"""Without the time that was left: a condition with another number at every tick would be written at every tick."""

_BY_STATUS = {
    "400": "refused a query as malformed ({message}): correct telemetry.overrides, or the proxy before it",
    "401": "wants credentials (401): set prometheus.bearerToken, or renew the token",
    "403": "forbids the query (403): give the token's account the right to query, or set the right tenant header",
    "404": "has no query API at this address (404): check the path prefix and the tenant in prometheus.url",
    "413": "found the query too long (413): raise the request size limit of the proxy before it",
    "422": "could not execute a query ({message}): raise its query limits (--query.max-samples, --query.timeout), "
    "or ask for less in telemetry.overrides",
    "429": "limits the rate of queries (429): raise the limit of this tenant, or operator.tick",
    "500": "failed inside (500: {message}): look at its log",
    "502": "is not reached by the proxy before it (502): is it up?",
    "503": "is overloaded, starting, or timed the query out (503: {message}): look at its load and query limits",
    "504": "is not reached in time by the proxy before it (504): is it up?",
}


class TooLong(requests.RequestException):
    """The answer is larger than is taken."""


class _TokenFile(AuthBase):
    """A bearer token from a file, which the kubelet may exchange at any time."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self) -> str:
        """The token that the file holds now."""
        return self._path.read_text(encoding="utf-8").strip()

    @override
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self.read()}"
        return request


class _Session(requests.Session):
    """Sends parameters in the body; reads answers within a size, and within `timeout` as a whole."""

    def __init__(self, settings: PrometheusSettings) -> None:
        super().__init__()
        self._most_bytes = settings.max_answer_bytes
        self.verify = settings.ca_file or settings.verify_tls
        if settings.client_certificate_file and settings.client_key_file:
            self.cert = (settings.client_certificate_file, settings.client_key_file)
        self.ahead_seconds = 0.0

    @override
    def request(self, method: str, url: str, **given: Any) -> requests.Response:  # type: ignore[override]
        deadline = time.monotonic() + given["timeout"]
        given.update(data=given.pop("params"), allow_redirects=False, stream=True)
        with super().request(method, url, **given) as response:
            body = bytearray()
            for chunk in response.iter_content(_CHUNK_BYTES):
                body += chunk
                if len(body) > self._most_bytes:
                    raise TooLong(f"more than {self._most_bytes} bytes")
                if time.monotonic() > deadline:
                    raise requests.ReadTimeout("the answer came too slowly")
        self._compare(response.headers.get("Date", ""))
        whole = requests.Response()
        whole.status_code, whole.headers, whole.raw = response.status_code, response.headers, io.BytesIO(body)
        return whole

    def _compare(self, date: str) -> None:
        """Note how far the server's clock is ahead of ours. Its date says the second, and takes a moment to come."""
        try:
            found = parsedate_to_datetime(date).timestamp() + 0.5 - time.time()
        except ValueError:
            return
        found = found if abs(found) > CLOCKS_AGREE_SECONDS else 0.0
        if abs(found - self.ahead_seconds) > CLOCKS_AGREE_SECONDS or not found:
            self.ahead_seconds = found


class PrometheusClient:
    """Asks one Prometheus, synchronously. Safe for use by several threads."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self._shown_url = settings.shown_url.rstrip("/")
        self._password = urlsplit(settings.url).password
        self._token = _TokenFile(settings.bearer_token_file) if settings.bearer_token_file else None
        self._session = _Session(settings)
        self._connect = PrometheusConnect(
            url=settings.url.rstrip("/"),
            headers=dict(settings.headers),
            session=self._session,
            auth=self._token,
            retry=Retry(0),
            method="POST",
        )

    def ask(self, query: str, at: float, timeout_seconds: float) -> Answer:
        """The answer of an instant query at that time (epoch seconds); never raises for what Prometheus does."""
        params = {"time": f"{at:.3f}", **_limits(timeout_seconds)}
        rows, failure = self._attempt(
            lambda: parse_rows(self._connect.custom_query(query, params=params, timeout=timeout_seconds)),
        )
        return Answer(rows or (), failure)

    def ask_range(
        self, query: str, start: float, end: float, step_seconds: float, timeout_seconds: float
    ) -> RangeAnswer:
        """The answers at start, start + step, … up to end (whole epoch seconds); never raises for what Prometheus
        does.
        """
        rows, failure = self._attempt(
            lambda: parse_matrix(
                self._connect.custom_query_range(
                    query,
                    datetime.fromtimestamp(start, UTC),
                    datetime.fromtimestamp(end, UTC),
                    f"{step_seconds:g}",
                    params=dict(_limits(timeout_seconds)),
                    timeout=timeout_seconds,
                )
            ),
        )
        return RangeAnswer(rows or {}, failure)

    def _attempt(self, call: Callable[[], Rows]) -> tuple[Rows | None, str]:
        """What the call gives, or a sentence that says why it gave nothing and what to do."""
        try:
            return call(), ""
        except PrometheusApiClientException as error:
            what = _refusal(self._without_secrets(str(error)))
        except TooLong as error:
            what = f"answered with {error}: govern fewer namespaces, or drop labels from telemetry.selector"
        except requests.exceptions.SSLError as error:
            what = f"has a TLS certificate that is not trusted ({_short(error)}): set prometheus.ca"
        except requests.ConnectTimeout:
            what = "takes no connection in time: check its NetworkPolicies"
        except requests.Timeout:
            what = LATE
        except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
            what = "broke off in the middle of an answer: look at its log and the proxy before it"
        except requests.ConnectionError as error:
            timed_out = "Read timed out" in str(error)
            lost = f"cannot be reached ({_reason(error)}): check prometheus.url, its Service and NetworkPolicies"
            what = LATE if timed_out else lost
        except (
            requests.exceptions.JSONDecodeError,
            MalformedAnswer,
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
        ) as error:
            what = f"gave an answer that is none of Prometheus' ({_defect(error)}): check prometheus.url"
        except (requests.RequestException, ValueError) as error:
            what = f"could not be asked ({_printable(self._without_secrets(str(error)))}): check prometheus.url"
        except OSError as error:
            what = f"was not asked: a file cannot be read ({_short(error)}); check its token and CA"
        return None, f"Prometheus at {self._shown_url} {what}"

    def _without_secrets(self, text: str) -> str:
        """The text without the token and password that were sent, which whoever answers may have echoed."""
        secrets = [unquote(self._password), self._password] if self._password else []
        if self._token is not None:
            with suppress(OSError):
                secrets.append(self._token.read())
        for secret in filter(None, secrets):
            text = text.replace(secret, "***")
        return text

    @property
    def ahead_seconds(self) -> float:
        """By how much Prometheus' clock, or that of the proxy before it, is ahead of ours; 0 where the two agree."""
        return self._session.ahead_seconds

    @property
    def late(self) -> str:
        """What is said of a query that had no time left."""
        return f"Prometheus at {self._shown_url} {LATE}"

    def close(self) -> None:
        """Give the connections back."""
        self._session.close()


def _limits(timeout_seconds: float) -> Mapping[str, str]:
    return {
        "timeout": f"{max(1, round(timeout_seconds * 1000))}ms",
        # Thanos and VictoriaMetrics would otherwise leave out stores that do not answer, and say nothing.
        "partial_response": "false",
        "deny_partial_response": "1",
    }


def _refusal(text: str) -> str:
    found = _REFUSED.fullmatch(text)
    status = found[1] if found else ""
    if status.startswith("3"):
        return f"redirects elsewhere ({status}): write the final address into prometheus.url"
    message = _printable(_message(found[2]) if found else text)
    return _BY_STATUS.get(status, "answered with status {status} ({message})").format(status=status, message=message)


def _message(body: str) -> str:
    """The `error` of Prometheus' JSON, else the body's beginning."""
    plain = bytes(ast.literal_eval(body)).decode(errors="replace")
    try:
        answer = json.loads(plain)
    except (ValueError, RecursionError):
        return plain
    return str(answer.get("error", plain)) if isinstance(answer, dict) else plain


def _reason(error: requests.ConnectionError) -> str:
    text = str(error)
    for sign, reason in (
        ("refused", "connection refused"),
        ("NameResolutionError", "its name is not resolved"),
        ("unreachable", "no route"),
        ("reset", "connection reset"),
        ("Connection aborted", "connection closed"),
    ):
        if sign in text:
            return reason
    return _printable(text)


def _defect(error: Exception) -> str:
    if isinstance(error, MalformedAnswer):
        return str(error)
    return "no JSON" if isinstance(error, requests.RequestException) else "JSON without data.result"


def _short(error: Exception) -> str:
    return _printable(str(error))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:_MOST_OF_A_MESSAGE])
