"""Runs a Python function under the Lambda Runtime API, as the runtimes python3.x do.

Errors have Lambda's wording, in answers and in the log: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import decimal
import http.client
import importlib
import json
import logging
import math
import os
import re
import sys
import time
import traceback
import uuid

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
HANDLER = os.environ["_HANDLER"]
ROOT = os.environ["LAMBDA_TASK_ROOT"]
OPT = os.environ.get("SANDBOX_OPT", "/opt")
JSON_LOG = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"

# The line that the runtimes log if a function cannot be loaded.
WARNING = (
    "LAMBDA_WARNING: Unhandled exception. The most likely cause is an issue in the function code. However, in rare "
    "cases, a Lambda runtime update can cause unexpected function behavior. For functions using managed runtimes, "
    "runtime updates can be triggered by a function change, or can be applied automatically. To determine if the "
    "runtime has been updated, check the runtime version in the INIT_START log entry. If this error correlates with a "
    "change in the runtime version, you may be able to mitigate this error by temporarily rolling back to the previous "
    "runtime version. For more information, see https://docs.aws.amazon.com/lambda/latest/dg/runtimes-update.html\r"
)

request_id = ""


class Fault(Exception):
    """An error that the runtime itself raises."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, list(trace)


class Numbers(json.JSONEncoder):
    """Encodes decimals as numbers, with all their digits."""

    def __init__(self):
        version = os.environ.get("AWS_EXECUTION_ENV", "").rpartition("python3.")[2]
        super().__init__(ensure_ascii=not (version.isdigit() and int(version) >= 12))
        self.mark = uuid.uuid4().hex

    def default(self, o):
        if isinstance(o, decimal.Decimal):
            return math.nan if o.is_nan() else self.mark + str(o)
        return super().default(o)

    def encode(self, o):
        return re.sub('"' + self.mark + '([^"]*)"', r"\1", super().encode(o))


class Context:
    """The context argument of a handler."""

    def __init__(self, headers):
        self.aws_request_id = headers.get("Lambda-Runtime-Aws-Request-Id")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = headers.get("Lambda-Runtime-Invoked-Function-Arn")
        self.client_context = None
        self.identity = None
        self.tenant_id = None
        self.deadline = int(headers.get("Lambda-Runtime-Deadline-Ms") or 0)

    def get_remaining_time_in_millis(self):
        return max(0, self.deadline - int(time.time() * 1000))

    def log(self, message):
        sys.stdout.write(str(message))


class LogHandler(logging.Handler):
    """Writes records as the runtimes do: one line each, with the request id."""

    def emit(self, record):
        sys.stdout.write(structured(record) if JSON_LOG else self.format(record))

    def format(self, record):
        record.aws_request_id = request_id
        return super().format(record)


def structured(record):
    fields = {
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
        "level": record.levelname,
        "message": record.msg if isinstance(record.msg, dict) and not record.args else record.getMessage(),
        "logger": record.name,
        "requestId": request_id,
    }
    if record.exc_info:
        kind, value, trace = record.exc_info
        fields.update(
            stackTrace=traceback.format_tb(trace),
            errorType=kind.__name__,
            errorMessage=str(value),
            location=f"{record.pathname}:{record.funcName}:{record.lineno}",
        )
    return json.dumps(fields, ensure_ascii=False, default=str) + "\n"


def start_logging():
    logging.Formatter.converter = time.gmtime
    handler = LogHandler()
    handler.setFormatter(
        logging.Formatter(
            "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
        )
    )
    root = logging.getLogger()
    root.addHandler(handler)
    level = {"TRACE": "DEBUG", "FATAL": "CRITICAL"}.get(os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper(), "")
    level = level or os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    if level in ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL"):
        root.setLevel(level)


def load(handler):
    """Returns the function that a handler name, such as app.lambda_handler, refers to."""
    module_name, dot, function = handler.rpartition(".")
    if not dot:
        raise Fault(
            "Runtime.MalformedHandlerName",
            f"Bad handler '{handler}': not enough values to unpack (expected 2, got 1)",
        )
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault(
            "Runtime.BuiltInModuleConflict", f"Cannot use built-in module {module_name} as a handler module"
        )
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as e:
        raise Fault("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {e}") from None
    except SyntaxError as e:
        raise Fault(
            "Runtime.UserCodeSyntaxError",
            f"Syntax error in module '{module_name}': {e}",
            [f'  File "{e.filename}" Line {e.lineno}\n    {e.text}'],
        ) from None
    try:
        return getattr(module, function)
    except AttributeError:
        raise Fault(
            "Runtime.HandlerNotFound", f"Handler '{function}' missing on module '{module_name}'"
        ) from None


def described(error, request=""):
    """Returns an error in the form of the answer, without the stack frames of this file."""
    if isinstance(error, Fault):
        kind, message, trace = error.kind, error.message, error.trace
    else:
        frames = traceback.extract_tb(error.__traceback__)
        own = [f.filename == __file__ for f in frames]
        frames = frames[own.index(False) :] if False in own else frames[-1:]
        kind, message = type(error).__name__, str(error)
        trace = traceback.format_list([(f.filename, f.lineno, f.name, f.line) for f in frames])
    return {"errorMessage": message, "errorType": kind, "requestId": request, "stackTrace": trace}


def log_error(error):
    if JSON_LOG:
        stamp = {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "level": "ERROR"}
        sys.stdout.write(json.dumps({**stamp, **error}, ensure_ascii=False) + "\n")
        return
    head = "[ERROR]"
    if error["errorType"]:
        head += " " + error["errorType"]
    if error["errorMessage"]:
        head += (":" if error["errorType"] else "") + " " + error["errorMessage"]
    lines = [head, "Traceback (most recent call last):"]
    for entry in error["stackTrace"]:
        for line in entry.splitlines() or [""]:
            text = line.lstrip(" ")
            lines.append("\u00a0" * (len(line) - len(text)) + text)
    sys.stdout.write("\r".join(lines) + "\n")  # \r keeps it one log event


class RuntimeAPI:
    def __init__(self):
        self.connection = http.client.HTTPConnection(API)

    def call(self, method, path, body=None, headers=None):
        try:
            self.connection.request(method, "/2018-06-01/runtime/" + path, body, headers or {})
            answer = self.connection.getresponse()
        except (http.client.HTTPException, ConnectionError):
            sys.exit(0)  # the Runtime API has ended
        return answer, answer.read()

    def post(self, path, body, kind=None):
        headers = {"Content-Type": "application/json"}
        if kind:
            headers["Lambda-Runtime-Function-Error-Type"] = kind.encode("ascii", "replace").decode()
        self.call("POST", path, body if isinstance(body, bytes) else body.encode(errors="replace"), headers)


def answer(handler, body, context):
    try:
        event = json.loads(body)
    except ValueError as e:
        raise Fault("Runtime.UnmarshalError", f"Unable to unmarshal input: {e}") from None
    result = handler(event, context)
    if isinstance(result, bytes):
        return result
    try:
        return Numbers().encode(result)
    except Exception as e:
        raise Fault("Runtime.MarshalError", f"Unable to marshal response: {e}") from None


def main():
    global request_id
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")
    sys.path[0] = ROOT
    version = os.environ["AWS_EXECUTION_ENV"].removeprefix("AWS_Lambda_")
    sys.path[1:1] = [OPT + "/python/lib/" + version + "/site-packages", OPT + "/python"]
    start_logging()
    api = RuntimeAPI()
    try:
        handler = load(HANDLER)
    except Exception as e:
        error = described(e)
        logging.warning(WARNING)
        log_error(error)
        api.post("init/error", Numbers().encode(error), error["errorType"])
        sys.exit(1)
    while True:
        reply, body = api.call("GET", "invocation/next")
        request_id = reply.headers.get("Lambda-Runtime-Aws-Request-Id", "")
        os.environ["_X_AMZN_TRACE_ID"] = reply.headers.get("Lambda-Runtime-Trace-Id", "")
        try:
            api.post(f"invocation/{request_id}/response", answer(handler, body, Context(reply.headers)))
        except Exception as e:
            error = described(e, request_id)
            log_error(error)
            api.post(f"invocation/{request_id}/error", Numbers().encode(error), error["errorType"])


main()
