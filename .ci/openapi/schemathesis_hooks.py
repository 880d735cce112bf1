"""Makes generated requests valid where a schema cannot say what is valid."""

import urllib.parse
import uuid

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    # A key that was used for another note is refused.
    key = (case.headers or {}).get("Idempotency-Key", "")
    if 1 <= len(key) <= 200 and all("!" <= c <= "~" for c in key):
        case.headers["Idempotency-Key"] = key + uuid.uuid4().hex
    # An id in the body must be the one in the URL.
    if isinstance(case.body, dict) and isinstance(case.body.get("id"), str):
        case.body["id"] = urllib.parse.unquote(case.path_parameters["id"])
