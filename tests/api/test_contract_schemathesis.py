"""The whole API against its own description: generated requests, no surprises."""

from collections.abc import Iterator

import pytest
import schemathesis
from contracts.seeded_city import NOW_MS, seeded_services
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks as openapi_checks

from api.app import create_app
from api.auth import STAFF

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
EXAMPLES = 4
# A description cannot say that an order must be open, or that a cursor is one of ours: what is
# right by the schema may still be refused, and then with one of these.
REFUSALS = {400, 401, 403, 404, 409, 412, 422, 428, 429}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    openapi_checks.status_code_conformance,
    openapi_checks.content_type_conformance,
    openapi_checks.response_headers_conformance,
    openapi_checks.response_schema_conformance,
]
# A stream never ends; tests/api/test_routes_events.py reads it.
ENDLESS = "/api/v1/events"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FastAPI]:
    """The app under the name that schemathesis calls it by."""
    services = seeded_services(tmp_path_factory.mktemp("contract"))
    http = services.settings.http.model_copy(update={"public_url": "http://testserver"})
    services.settings = services.settings.model_copy(update={"http": http})
    services.requests_per_minute = 1_000_000
    made = create_app(services)
    made.state.key = services.ledger.create_key("all", roles=STAFF, now_ms=NOW_MS).secret
    yield made
    services.ledger.close()


def operations(app: FastAPI) -> list[schemathesis.APIOperation]:
    schema = schemathesis.openapi.from_asgi("/openapi.json", app).exclude(path=ENDLESS)
    found = [result.ok() for result in schema.get_all_operations()]
    assert len(found) > 60
    return found


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_no_generated_request_gets_an_answer_that_is_not_described(
    mode: GenerationMode, app: FastAPI
) -> None:
    failed: dict[str, str] = {}
    headers = {"Authorization": f"Bearer {app.state.key}"}
    for operation in operations(app):

        @settings(
            max_examples=EXAMPLES,
            derandomize=True,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def probe(case: Case) -> None:
            answer = case.call(headers=headers)
            case.validate_response(answer, checks=CHECKS)
            assert answer.status_code < 400 or answer.status_code in REFUSALS | {405, 406, 413, 415}

        try:
            probe()
        except Unsatisfiable:
            # Nothing can be wrong about a request that has no parameters.
            assert mode is GenerationMode.NEGATIVE
        except Exception as error:
            failed[operation.label] = str(error)[:600]
    assert failed == {}


@given(body=st.binary(max_size=300))
@settings(max_examples=60, derandomize=True, deadline=None, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
def test_no_bytes_do_worse_than_a_refusal(body: bytes, app: FastAPI) -> None:
    client = TestClient(app)
    headers = {"Authorization": f"Bearer {app.state.key}", "Content-Type": "application/json"}
    for path in ("/api/v1/work-orders", "/api/v1/users", "/api/v1/planned-work"):
        answer = client.post(path, content=body, headers=headers)
        assert answer.status_code in {400, 422}
        assert answer.headers["content-type"] == "application/problem+json"
