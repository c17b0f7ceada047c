"""Every route in the words of OpenAPI 3.1; what it does and what a request may hold is said by the route itself."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from flask import Flask

from .. import __version__
from ..engine.process import EngineState
from ..jobs import STATES
from ..memory import System
from ..speech.formats import AUDIO as AUDIO_FORMATS
from ..speech.formats import TRANSCRIPTS as TRANSCRIPT_FORMATS
from ..speech.transcription import Segment
from ..synthesizers import SYNTHESIZERS
from . import auth
from .hooks import Route
from .params import Field, Schema
from .requests import LONGEST_KEY

Json = dict[str, Any]  # an object of any shape

# By blueprint: the tag of its operations, and what it says.
TAGS = {
    "voice": ("Voice", "Recordings to text, text to speech"),
    "jobs": ("Jobs", "The same as jobs: accepted at once, done in the background"),
    "live": ("Live", "What is said while it is spoken, over WebSockets"),
    "realtime": ("Live", "What is said while it is spoken, over WebSockets"),
    "openai_audio": (
        "OpenAI",
        "The same by OpenAI's API: its clients need only this server as their base URL",
    ),
    "health": ("Health", "Whether the service is up, and what it can do"),
    "page": ("Health", "Whether the service is up, and what it can do"),
    "memory": ("Memory", "How much memory the service takes, and a way to free some"),
    "monitoring": ("Monitoring", "Metrics, and what was measured lately"),
    "openapi": ("Description", "This description"),
}
# Either of them, where the service has keys.
KEYS: Schema = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
SWITCHED = {101: "The connection is a WebSocket from here on; docs/realtime.md has its messages"}
PARTS = {206: "The part that Range asks for", 304: "It is still that of If-None-Match"}
SEND_JSON = "-H 'Content-Type: application/json'"
LATER = "A job, because of `Prefer: respond-async`; Location has its address"
REASONS = {
    400: "A field is missing, unknown or out of range, or the file is no recording; the message says what is accepted",
    401: "The service has API_KEYS, and none of them was sent",
    403: "The settings do not allow it; the message names them",
    404: "Nothing here has that name, or it is turned off",
    426: "It is a WebSocket's address",
    409: "The job's state does not allow it, or the Idempotency-Key was used for something else",
    413: "The upload has too many bytes, or the recording too many minutes",
    416: "The Range begins after the end; Content-Range says where that is",
    429: "RATE_LIMIT or AUDIO_SECONDS_PER_HOUR is used up; Retry-After says when to try again",
    503: "Not possible now; Retry-After says when to try again, X-Should-Retry whether that helps",
    507: "The disk of jobs or of uploads takes no more",
}


class Operation(NamedTuple):
    """
    What a route answers: JSON as *answer* has it, *media* types with their schemas.

    Of the errors, those that follow from what the route takes are not in *errors*.
    """

    answer: Schema | None = None
    media: dict[str, Schema] = {}  # noqa: RUF012 (nobody writes to it)
    job: str = ""  # what is said of 202, where a job may be made of it
    errors: tuple[int, ...] = ()
    statuses: dict[int, str] = {}  # noqa: RUF012 (further ones that are no error)
    curl: str = ""  # of an example, what precedes the URL
    asks: str = ""  # and what follows it


TYPES: dict[Any, Schema] = {
    str: {"type": "string"}, int: {"type": "integer"}, float: {"type": "number"}, bool: {"type": "boolean"},
    dict: {"type": "object"}, Json: {"type": "object"}, type(None): {"type": "null"},
}  # fmt: skip


def schema(kind: Any) -> Schema:
    """The schema of a type such as `float | None` or `list[str]`; a schema is its own."""
    if isinstance(kind, dict):
        return kind
    if get_origin(kind) is list:
        return array(get_args(kind)[0])
    return TYPES[kind] if kind in TYPES else {"anyOf": [*map(schema, get_args(kind))]}


def object_(**properties: Any) -> Schema:
    """An object that has all of *properties*."""
    described = {name: schema(kind) for name, kind in properties.items()}
    return {"type": "object", "properties": described, "required": list(described)}


def extend(base: Schema, **properties: Any) -> Schema:
    """An object like *base* that may have *properties* as well."""
    return {**base, "properties": {**base["properties"], **object_(**properties)["properties"]}}


def of_class(kind: type, *left_out: str) -> Schema:
    """The object that has the fields of a dataclass or NamedTuple."""
    return object_(**{name: of for name, of in get_type_hints(kind).items() if name not in left_out})


def array(item: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": schema(item)}


def nullable(kind: Any) -> Schema:
    """It, or null."""
    return {"anyOf": [schema(kind), TYPES[type(None)]]}


HEALTH: Schema = {"type": "string", "enum": ["healthy", "degraded", "unhealthy"]}
BYTES: Schema = {"type": "string", "format": "binary"}
TEXT: Schema = {"type": "string"}
SPOKEN_HEADERS = {
    "X-TTS-Engine": f"Who spoke: {', '.join(SYNTHESIZERS)}",
    "X-TTS-Voice": "The voice's id",
    "X-TTS-Fallback": "Why engines that come first did not speak",
    "X-TTS-Skipped": "How many letters and digits are not spoken, by what they are, where there are any: "
    "code (in fences), address (of a URL, after its host), or the name of a script, as in code=20, tibetan=2",
    "X-Audio-Duration": "Seconds, where the audio is whole before it is sent",
    "X-Cache": "hit or miss",
}
AUDIO = {row.media_type: BYTES for row in AUDIO_FORMATS.values()}
EVENTS: dict[str, Schema] = {
    "text/event-stream": {"description": "the data of each event is a JSON object with a type"}
}
TRANSCRIPTS = {row.media_type: TEXT for name, row in TRANSCRIPT_FORMATS.items() if name != "json"} | EVENTS

WORD = object_(word=str, start=float, end=float)
SEGMENT = of_class(Segment, "words")
USAGE = object_(type={"const": "duration"}, seconds=int)
TRANSCRIPT = extend(
    object_(text=str, usage=USAGE),
    model=str, languages=array(object_(code=str)), task=str, language=str, duration=float, segments=array(SEGMENT),
    words=array(WORD),
)  # fmt: skip
OWN_SEGMENT = extend(object_(start=float, end=float, text=str), words=array(extend(WORD, probability=float)))
OWN_TRANSCRIPT = object_(
    text=str, language=str | None, duration=float, model=str, segments=array(OWN_SEGMENT)
)
MODEL = extend(
    object_(id=str, object={"const": "model"}, created=int, owned_by=str),
    languages=list[str], loaded=bool, megabytes=int,
)  # fmt: skip
TIMED_SPEECH = object_(
    engine=str, voice=str, format=str, duration=float, words=array(object_(word=str, start=float, end=float)),
    audio={"type": "string", "contentEncoding": "base64"},
)  # fmt: skip
VOICE = object_(id=str, name=str, language=str, engine=str, offline=bool, gender=str, quality=str)
ENGINES = {
    "type": "object",
    "additionalProperties": object_(
        label=str, quality=str, megabytes=int, licence=str, languages=list[str], memory_mb=float
    ),
}
VOICES = object_(voices=array(VOICE), languages=list[str], engines=ENGINES, formats=dict)
CHECK = object_(status=HEALTH, reason=str)
STATE: Schema = {"type": "string", "enum": ["stopped", "idle", "working"]}
ENGINE = extend(of_class(EngineState), state=STATE)
OUTCOME = extend(
    object_(engine=str, ok=bool, seconds=float),
    error=str, voice=str, bytes=int, duration=float | None, cached=bool,
)  # fmt: skip
OUTCOMES = object_(text=str, engines=array(OUTCOME))
PROCESS = object_(pid=int, role=str, rss_mb=float, pss_mb=float)
MEMORY = object_(
    system=of_class(System),
    process=object_(rss_mb=float, pss_mb=float, uss_mb=float, percent=float),
    service=object_(pss_mb=float, budget_mb=float, processes=array(PROCESS)),
    cgroup=nullable(object_(limit_mb=float | None, usage_mb=float, oom_kills=int | None)),
    budget=object_(
        limit_mb=float, reserve_mb=float, used_mb=float, available_mb=float, engines=array(ENGINE)
    ),
    gc=object_(counts=list[int], collections=list[int], frozen=int),
    note=str,
)
FREED = object_(
    message=str, objects_collected=int, engines_unloaded=int, before_mb=float, after_mb=float, freed_mb=float
)
REPORT = object_(
    status=HEALTH, version=str, uptime_seconds=float,
    checks={"type": "object", "additionalProperties": extend(CHECK, detail=str)},
)  # fmt: skip
JOB_ERROR = extend(object_(message=str, code=str), param=str | None)
JOB = object_(
    id=str, kind={"type": "string", "enum": ["transcribe", "speak"]}, state={"type": "string", "enum": [*STATES]},
    position=int, estimated_seconds=float, created_at=str, started_at=str | None, finished_at=str | None,
    attempts=int, worker=str | None, progress=object_(seconds_done=float, at=str | None), error=nullable(JOB_ERROR),
    webhook=nullable(object_(state=str, attempts=int)),
)  # fmt: skip
JOB_SHOWN = extend(JOB, text=str, result=Json | None)
ERROR = object_(error=object_(message=str, type=str, param=str | None, code=str | None))


OPERATIONS: dict[str, Operation] = {
    "voice.transcribe": Operation(OWN_TRANSCRIPT, TRANSCRIPTS, job=LATER, curl="-F audio=@recording.webm"),
    "voice.speak": Operation(
        TIMED_SPEECH, AUDIO, job=LATER, statuses={304: "The audio is still that of If-None-Match"},
        curl=f"{SEND_JSON} -d '{{\"text\": \"Hello.\", \"format\": \"mp3\"}}' -o hello.mp3",
    ),
    "voice.test": Operation(OUTCOMES, {"audio/wav": BYTES}, errors=(503,), statuses=PARTS, curl="-o test.wav"),
    "voice.voices": Operation(VOICES, asks="?language=de"),
    "voice.condition": Operation(
        object_(
            status=HEALTH, transcription=extend(CHECK, model=str | None), synthesis=CHECK,
            synthesizers={"type": "object", "additionalProperties": CHECK}, breakers=dict, engines=array(ENGINE),
        ),
    ),
    "voice.warm_up": Operation(
        extend(object_(status=str), engine=str, model=str, state=STATE), errors=(503,), curl="-X POST"
    ),
    "voice.front_door": Operation(OWN_TRANSCRIPT, {**TRANSCRIPTS, **AUDIO}, job=LATER),
    "jobs.submit": Operation(job="Accepted; Location has the job", curl="-F audio=@recording.webm"),
    "jobs.page": Operation(object_(jobs=array(JOB), next=str | None), errors=(404,), asks="?state=queued"),
    "jobs.show": Operation(JOB_SHOWN),
    "jobs.events": Operation(media=EVENTS, errors=(503,), curl="-N"),
    "jobs.result": Operation(
        OWN_TRANSCRIPT, {**TRANSCRIPTS, **AUDIO}, errors=(409,), statuses=PARTS, asks="?format=srt"
    ),
    "jobs.cancel": Operation(JOB, statuses={204: "Removed"}, curl="-X DELETE"),
    "jobs.requeue": Operation(errors=(409,), statuses={202: "Queued again"}, curl="-X POST"),
    "openai_audio.transcriptions": Operation(
        TRANSCRIPT, TRANSCRIPTS, job=LATER, curl="-F file=@recording.webm -F model=whisper-1"
    ),
    "openai_audio.translations": Operation(TRANSCRIPT, TRANSCRIPTS, job=LATER),
    "openai_audio.speech": Operation(
        media={**AUDIO, **EVENTS}, job=LATER,
        curl=f"{SEND_JSON} -d '{{\"model\": \"tts-1\", \"voice\": \"alloy\", \"input\": \"Hello.\"}}' -o hello.mp3",
    ),
    "realtime.connect": Operation(statuses=SWITCHED, errors=(403, 426, 503)),
    "live.plain": Operation(statuses=SWITCHED, errors=(403, 426, 503)),
    "realtime.client_secrets": Operation(
        object_(value=str, expires_at=int, session=Json), curl=f"{SEND_JSON} -d '{{}}'"
    ),
    "realtime.transcription_sessions": Operation(
        object_(id=str, client_secret=object_(value=str, expires_at=int)),
        curl=f"{SEND_JSON} -d '{{\"input_audio_format\": \"pcm16\"}}'",
    ),
    "openai_audio.models": Operation(object_(object={"const": "list"}, data=array(MODEL))),
    "openai_audio.model": Operation(MODEL),
    "openai_audio.fetch_model": Operation(media=EVENTS, errors=(401, 403, 409, 507), curl="-N -X POST"),
    "openai_audio.delete_model": Operation(
        object_(id=str, object={"const": "model"}, deleted=bool), errors=(401, 403, 409), curl="-X DELETE"
    ),
    "openai_audio.speaking_models": Operation(object_(models=array(object_(id=str)))),
    "openai_audio.voices": Operation(object_(voices=array(object_(id=str, name=str)))),
    "health.index": Operation(
        object_(name=str, version=str, status=HEALTH, memory_optimization=dict, links=dict), {"text/html": TEXT}
    ),
    "health.report": Operation(REPORT, statuses={503: "Nothing works"}),
    "health.live": Operation(object_(status=str)),
    "health.ready": Operation(object_(status=str, failing=dict), statuses={503: "Nothing works"}),
    "health.status": Operation(
        extend(
            object_(health=REPORT, memory=MEMORY), performance=Json | None, production=Json | None,
            jobs=nullable(array(JOB)), history=list[Json],
        ),
        asks="?with=requests",
    ),
    "memory.sizes": Operation(MEMORY),
    "memory.optimize": Operation(FREED, curl=f"{SEND_JSON} -d '{{\"unload\": true}}'"),
    "monitoring.history": Operation(object_(window_seconds=float, samples=list[Json]), errors=(404,)),
    "monitoring.metrics": Operation(media={"text/plain": TEXT}, errors=(404,)),
    "monitoring.performance": Operation(TYPES[Json], errors=(404,), asks="?window=5m"),
    "monitoring.production": Operation(TYPES[Json], errors=(404,)),
    "monitoring.security": Operation(TYPES[Json], errors=(404,)),
    "openapi.document": Operation(TYPES[Json]),
    "page.dashboard": Operation(media={"text/html": TEXT}),
    "openapi.page": Operation(media={"text/html": TEXT}),
}  # fmt: skip


def describe(app: Flask) -> dict[str, Any]:
    """The OpenAPI document of the routes of *app*; a test holds them and OPERATIONS together."""
    paths: dict[str, Any] = {}
    rules = [
        rule for rule in app.url_map.iter_rules() if isinstance(rule, Route) and rule.endpoint in OPERATIONS
    ]
    described = {rule.endpoint: rule for rule in rules if rule.summary}  # one of several for the same
    for rule in sorted(rules, key=lambda rule: list(OPERATIONS).index(rule.endpoint)):
        operation, route = OPERATIONS[rule.endpoint], described[rule.endpoint]
        path = re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        url = f"$URL{re.sub('{.*?}', 'ID', path)}{operation.asks}"
        for method in sorted(set(rule.methods or ()) - {"HEAD", "OPTIONS"}):
            example = " ".join(filter(None, ("curl -s", operation.curl, url)))
            paths.setdefault(path, {})[method.lower()] = {
                "operationId": re.sub(r"\W+", "_", f"{method.lower()}{rule.rule}").strip("_"),
                "tags": [TAGS[rule.endpoint.partition(".")[0]][0]],
                "summary": route.summary,
                "parameters": list(parameters(route, operation)),
                **(request_body(route) if method == "POST" else {}),
                "responses": responses(operation, errors(rule, route, operation)),
                **({"x-curl": example} if operation.curl or method == "GET" else {}),
            }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pam-voice",
            "version": __version__,
            "description": "Speech to text and text to speech, within a memory limit.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in dict(TAGS.values()).items()],
        "paths": paths,
        "security": [{}, *({name: []} for name in KEYS)],
        "components": {"schemas": {"Error": ERROR}, "securitySchemes": KEYS},
    }


def parameters(route: Route, operation: Operation) -> Iterator[Schema]:
    """What stands in the path and behind the question mark."""
    for name in sorted(route.arguments):
        yield {"name": name, "in": "path", "required": True, "schema": TEXT}
    for one in route.query:
        yield {"name": one.name, "in": "query", "required": one.required, "schema": one.schema()}
    if operation.job:
        yield {"name": "Idempotency-Key", "in": "header", "schema": {**TEXT, "maxLength": LONGEST_KEY}}
    if operation.job == LATER:
        yield {"name": "Prefer", "in": "header", "schema": {**TEXT, "examples": ["respond-async", "wait=30"]}}


def request_body(route: Route) -> Schema:
    """What is sent: a form, JSON, or a recording as it is."""
    content: dict[str, Any] = {}
    if route.form:
        content["multipart/form-data"] = {"schema": of_fields(route.form)}
    if route.json:
        content["application/json"] = {"schema": of_fields(route.json)}
    if route.raw:
        content["application/octet-stream"] = {"schema": BYTES}
    required = any(one.required for one in (*route.form, *route.json))
    return {"requestBody": {"required": required, "content": content}} if content else {}


def of_fields(table: Iterable[Field]) -> Schema:
    """The schema of an object with these fields."""
    required = [one.name for one in table if one.required]
    properties = {one.name: one.schema() for one in table}
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def errors(rule: Route, route: Route, operation: Operation) -> Iterator[int]:
    """The statuses of errors: of the guard, of fields, of what is named, of jobs and ranges, and further ones."""
    yield from operation.errors
    if rule.rule not in auth.OPEN:
        yield 401
    if rule.rule not in auth.UNCOUNTED:
        yield 429
    fields = [one.name for one in (*route.form, *route.json, *route.query)]
    if fields:
        yield 400
    if rule.arguments or "model" in fields:
        yield 404
    if route.form:
        yield 413
    if operation.job:
        yield from (409, 503, 507)
    if 206 in operation.statuses:
        yield 416


def responses(operation: Operation, errors: Iterable[int]) -> dict[str, Any]:
    """By status: what success looks like, and the errors, which all have one envelope."""
    content = {kind: {"schema": schema} for kind, schema in operation.media.items()}
    if operation.answer is not None:
        content["application/json"] = {"schema": operation.answer}
    said: dict[str, Any] = {"200": {"description": "Success", "content": content}} if content else {}
    if content.keys() & AUDIO:
        said["200"]["headers"] = {
            name: {"description": text, "schema": TEXT} for name, text in SPOKEN_HEADERS.items()
        }
    for status, text in {**operation.statuses, **({202: operation.job} if operation.job else {})}.items():
        of_job = {"content": {"application/json": {"schema": JOB}}}
        holds = {202: of_job, 204: {}, 304: {}}.get(status, {"content": content})
        said[str(status)] = {"description": text, **holds}
    envelope = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for status in sorted(set(errors)):
        said[str(status)] = {"description": REASONS[status], "content": envelope}
    return said
