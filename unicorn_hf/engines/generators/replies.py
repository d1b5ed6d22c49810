"""What servers with OpenAI's chat completions mean by what they reply: functions of status, headers and body alone.

How the bytes come here is no matter of this module, see `endpoint` beside it. The tables at its head hold what
vLLM, SGLang, TGI, llama.cpp, Ollama and hosted servers say: a new wording joins with one line.
"""

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from unicorn_hf.core.generation import Answer, FinishReason, Request, estimate_tokens
from unicorn_hf.core.http import wait_asked
from unicorn_hf.core.thoughts import spoken
from unicorn_hf.engines.endpoint import API_KEY, EndpointEngine

NO_USAGE = "the server does not report token counts (`usage`)"
_LONGEST_WAIT_S = 600.0
"""A server that asks for more is not waited for."""
_MOST_SHOWN = 300
_PASSING_STATUSES = frozenset({408, 409, 425, 429})

# -- Tables -----------------------------------------------------------------------------------------------------------

_STOPS = frozenset(
    {
        *(
            "stop",
            "eos",
            "eos_token",
            "end_turn",
            "end_of_turn",
            "stop_sequence",
            "stop_token",
            "complete",
            "completed",
        ),
        *("end_id", "finished"),
    }
)
"""What servers call an answer that the model ended by itself: OpenAI, Together, TGI, Anthropic, Cohere, TensorRT-LLM.

A reason that is missing or null is one too: an answer that is not streamed is sent when it is finished, and some
servers leave the reason out. What was cut all the same is found by the filters, by how it ends.
"""
_ENDINGS: tuple[tuple[FinishReason, str], ...] = (
    ("tool_call", r"tool|function"),
    ("length", r"length|max_?(?:new_|output_|completion_)?tokens|token_?limit|context_window|incomplete"),
    (
        "moderated",
        r"filter|safety|sensitive|refus|moderat|prohibit|block|spii|recitation|guardrail|toxic|policy|flagged|unsafe",
    ),
    (
        "failed",
        r"error|abort|cancel|insufficient|resource|timeout|time_limit|unavailable|overload|network|fail|interrupt"
        r"|preempt|^(?:un)?load$",
    ),
)
"""Other values of `finish_reason`, in the order of the tests. `failed` is the server's trouble: it is asked again."""

_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|context[ _-]?(?:length|window|size|limit)|\bcontext the overflows"
    r"|max(?:imum)?[ _](?:model|prompt|input|sequence|seq|total|num|message)[ _](?:len|length|tokens?)\b|max_seq_len"
    r"|(?:prompt|input|request)_too_(?:long|large)|string_above_max_length"
    r"|(?:prompts?|inputs?|messages?|query|request|text)\b[^.]{0,80}\b"
    r"(?:too (?:long|large|many tokens|big)|longer than|larger than|greater than|exceed(?:s|ed|ing)?)\b[^.]{0,80}"
    r"|\b(?:prompt|input|message)s?[ _](?:is |was |are )?too (?:long|large|big)"
    r"|too many (?:input |prompt )?tokens|tokens? limit(?: of \d+)?(?: is)? exceeded|exceeded model token limit"
    r"|inputs?`?[ \w`+]* must (?:have less than|be (?:less than|<=?))|length of prompt_tokens"
    r"|range of input length|reduce (?:the length of|your|the) (?:the )?(?:messages?|prompts?|input)"
    r"|\"param\": \"input_tokens\"|request too large|超长|过长|超过.{0,12}(?:长度|上限|限制)|\"code\": \"?1261\b",
    re.IGNORECASE,
)
_TOO_LARGE_TO_EVER_PASS = re.compile(r"request too large", re.IGNORECASE)
"""A 429 that no waiting mends: the request alone is above the limit of tokens a minute."""
_MODERATED = re.compile(
    r"content[ _-]?(?:filter|policy|moderation|management|safety|exists risk|violat)|moderat(?:ed|ion)|\bflagged\b"
    r"|(?:usage|use|safety|community) (?:guidelines|polic)|safety (?:system|filter|check|reasons|settings? block)"
    r"|responsible ?ai|data_?inspection|inappropriate|harmful|(?<!case )(?<!case-)\bsensitive(?! to)|sensitive ?content"
    r"|prohibited[ _]content|high risk|guardrail|\bunsafe\b|new_sensitive|jailbreak|\"filtered\": true|block_?reason"
    r"|violat\w* .{0,40}(?:polic|guideline|terms)|\"code\": \"?1301\b|敏感|违规|不安全|审核",
    re.IGNORECASE,
)
_OF_THE_ACCOUNT = re.compile(r"\b(?:account|organi[sz]ation|api[ _-]?key|token|ip address|region|country)\b", re.I)
_NO_FUNDS = re.compile(
    r"insufficient_quota|exceeded your current quota|insufficient.{0,12}(?:balance|credit|fund)", re.I
)
_NO_SUCH_MODEL = re.compile(
    r"model_not_found|(?:unknown|invalid|no such) model|no model named|not a valid model|models?\b[^.]{0,100}"
    r"(?:not found|(?:does|do) not exist|doesn['’]t exist|not available|not loaded|no endpoints)",
    re.IGNORECASE,
)
_MOST_MODELS = 8

_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"system.{0,30}(?:role|message|prompt|instruction).{0,80}(?:not|n['’]t|un)|(?:not|n['’]t|un)\w* .{0,40}system"
        r"|system role|developer instruction|roles must alternate|only user(?:,| and) (?:assistant|model)"
        r"|(?:role|roles).{0,60}\bsystem\b",
        "The model has no place for a system prompt: set engine.system_role: false.",
    ),
    (
        r"max_completion_tokens|max_tokens.{0,60}(?:not|unsupported|unknown|extra|unexpected|unrecogni[sz]ed)"
        r"|(?:unsupported|unknown|extra|unexpected|unrecogni[sz]ed).{0,60}max_tokens",
        "Send max_tokens under its new name: engine.extra_body: {max_tokens: null, max_completion_tokens: 512}.",
    ),
    (r"max_(?:new_)?tokens", "Lower captions.sampling.max_tokens and instructions.sampling.max_tokens."),
    (
        r"response_format|json_schema|json_object|guided|structured|grammar|xgrammar|outlines",
        "The server does not take this JSON schema: set engine.json_schema: none (or tgi for TGI), "
        "or format: tagged for the tasks.",
    ),
    (
        r"chat[ _-]?template(?!_)|jinja|apply_chat|TemplateError|is undefined|dict object|no (?:filter|test) named"
        r"|unexpected '.{1,9}'|encountered unknown tag",
        "The chat template of the server's model fails: start the server with a template that works (vLLM:"
        " --chat-template FILE), or set engine.system_role: false if it has no place for a system prompt.",
    ),
    (r"\bseed\b", "Leave the seed out: engine.extra_body: {seed: null}. Runs are not repeatable then."),
    (
        r"temperature",
        "Leave the temperature out: engine.extra_body: {temperature: null}, or change sampling.temperature.",
    ),
    (r"top_p", "Leave top_p out: engine.extra_body: {top_p: null}, or set sampling.top_p: 1."),
    (
        r"repetition_penalty",
        "Leave the penalty out: engine.extra_body: {repetition_penalty: null}, or set sampling.repetition_penalty: 1.",
    ),
)
"""For a server that refuses every request: a regular expression for its words, and the recipe key that helps."""

_CONNECTION: tuple[tuple[str, str], ...] = (
    (r"(?:hostname|ip address) mismatch|not valid for", "Write the host that its certificate names in base_url."),
    (r"certificate has expired", "The server's certificate has expired: it needs a new one."),
    (
        r"certificate.verify.failed|self.signed|unable to get local issuer|certificate",
        "Set the variable SSL_CERT_FILE to a file with the server's certificate, or with that of its authority (PEM).",
    ),
    (
        r"wrong.version.number|record.layer|unknown.protocol|http.request.*https",
        "The server does not speak TLS there: write http:// in base_url.",
    ),
    (
        r"name or service|getaddrinfo|nodename|name resolution|no address|not known",
        "Check the host name in --base-url.",
    ),
    (r"proxy", "Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or put the server's host into NO_PROXY."),
    (
        r"disconnected|illegal|malformed|bad.http|remoteprotocol|readerror|reset by peer|payload",
        "See that it runs. If it speaks TLS there, write https:// in base_url.",
    ),
)
NOT_THERE = "See that it runs and that --base-url is its address."
THINKING = (
    "The model thinks, and the answer ends with its thought: switch thinking off (vLLM, SGLang: engine.extra_body:"
    " {chat_template_kwargs: {enable_thinking: false}}) or give max_tokens room for it. If the model does not think,"
    " start the server without its reasoning parser (--reasoning-parser), which takes the whole answer for a thought."
)
_BAD_KEY = f"Set {API_KEY} to a key that the server takes."
_NOT_ALLOWED = f"Set {API_KEY} to a key that may use this model."
_REFUSES_ALL = (
    "It refuses every request of this form. What it does not take, leave out with engine.extra_body: {NAME: null}; its"
    " own log says more. See the page Engines of the documentation."
)
_TEXT_KEYS = ("text", "content", "output_text", "value")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "thoughts", "reasoning_details", "reasoning_text")
_HTML = re.compile(r"<style.*?</style>|<script.*?</script>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_NAMES = re.compile(r'"(?:message|messages|text|error)": ')
"""Of fields, which are no words of the server's."""
_SECRET = re.compile(r"\b(?:sk|hf|gsk|xai|pk|key|api)[-_][\w-]{12,}|(?<=Bearer )\S+", re.IGNORECASE)


# -- What a reply is --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """An answer, or why this request has none."""

    answer: Answer
    advice: str = ""
    """Where the answer is no text: what to do if no other request gets one either. Else the row is at fault."""

    @property
    def is_text(self) -> bool:
        return not self.advice


class NoReplyError(Exception):
    """A request that has no answer; the message is for people."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice
        self.address = ""
        """Of the server that failed, where it is known."""


class PassingError(NoReplyError):
    """The same request may well succeed later.

    `is_of_request`: it may be this request that the server cannot bear; others may be answered.
    `pauses_all`: the server asks for `wait_s` without any request (429), and not without this one alone.
    """

    def __init__(
        self,
        message: str,
        advice: str = "",
        *,
        wait_s: float | None = None,
        is_of_request: bool = False,
        pauses_all: bool = False,
    ) -> None:
        super().__init__(message, advice)
        self.wait_s = wait_s
        self.is_of_request = is_of_request
        self.pauses_all = pauses_all


class FinalError(NoReplyError):
    """No request would fare better."""


def read_models(status: int, body: bytes) -> tuple[str, ...]:
    """The names of the models that a server says it has; nothing where it has no list of them.

    Raises:
        FinalError: it refuses the key.
    """
    value = _parsed(body)
    if status in (401, 403):
        words = _message(value) if value is not None else _line(body)
        raise FinalError(f"it refuses the request ({shown(f'status {status}: {words}')})", _BAD_KEY)
    data = value.get("data") if isinstance(value, dict) else None
    models = data if isinstance(data, list) else []
    return tuple(str(model["id"]) for model in models if isinstance(model, dict) and model.get("id"))


def read_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    request: Request,
    engine: EndpointEngine,
    models: Sequence[str] = (),
) -> Reply:
    """What a server's reply to a chat completion means.

    Args:
        status: of HTTP.
        headers: with names in lower case.
        body: as it came.
        request: what was asked.
        engine: the recipe's settings, for advice.
        models: the names that the server offers, for advice.

    Raises:
        PassingError: it is to be asked again later.
        FinalError: no request would fare better.
    """
    if status != 200:
        return _refusal(status, headers, body, engine, models)
    value = _parsed(body)
    if not isinstance(value, dict):
        raise PassingError(
            f"no chat completion, but {_line(body)!r}" if body.strip() else "no chat completion: the reply is empty",
            _address_advice(engine),
            is_of_request=True,
        )
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    error = choice.get("error") or _error_of(value, has_choice=bool(choice))
    if error:
        return _refusal(_status_in(error), headers, json.dumps({"error": error}).encode(), engine, models)
    if not choice:
        words = _words(value)
        if _MODERATED.search(words):
            return _no_text("moderated", f"no answer: {_line(words)}", _moderated_advice(""))
        raise PassingError(f"no chat completion: no choices: {_line(words)}", is_of_request=True)
    return _completion(choice, value.get("usage"), request)


def connection_advice(said: str) -> str:
    """What to do about a connection that fails with these words."""
    return next((advice for words, advice in _CONNECTION if re.search(words, said, re.IGNORECASE)), NOT_THERE)


def shown(text: str) -> str:
    """One short line without what looks like a key."""
    return _SECRET.sub("***", " ".join(text.split()))[:_MOST_SHOWN]


# -- A completion -----------------------------------------------------------------------------------------------------


def _completion(choice: dict[str, Any], usage: object, request: Request) -> Reply:
    message = choice.get("message") or choice.get("delta")
    if not isinstance(message, dict):
        raise PassingError("no chat completion: choices[0] has no message", is_of_request=True)
    content, (field, reasoning) = _text(message.get("content")), _reasoning(message)
    said = spoken(content)
    ending, word = _ending(choice.get("finish_reason"))
    tokens = _tokens(usage, request, content + reasoning)

    def reply(reason: FinishReason, text: str, advice: str = "") -> Reply:
        return Reply(Answer(text, reason, *tokens.counts, tokens_told=tokens.are_told), advice)

    if ending == "failed":
        raise PassingError(f"the server broke the answer off (finish_reason {word!r})", is_of_request=True)
    if refusal := _text(message.get("refusal")) or _refusal_part(message.get("content")):
        return reply("moderated", shown(f"the model refuses: {refusal}"), _moderated_advice(""))
    if ending in ("moderated", "tool_call", "unknown"):
        advice = _moderated_advice("") if ending == "moderated" else f"Its answers end with finish_reason {word!r}."
        return reply(ending, shown(f"finish_reason {word!r}, after: {said.text or reasoning!r}"), advice)
    if said.text.strip():
        return reply(ending, said.text)
    if message.get("tool_calls") or message.get("function_call"):
        return reply("tool_call", "the answer calls a tool", "Its answers call tools: no tool was offered.")
    if said.is_thought_only or reasoning:
        nothing = "null" if message.get("content") is None else "without text"
        where = f"content is {nothing}, {field} is not" if field else "the answer is reasoning alone"
        return reply("thought", shown(f"{where} (finish_reason {word!r}): {reasoning or content}"), THINKING)
    return reply(ending, "", "Its answers are empty: see the server's log and the chat template of its model.")


def _text(content: object) -> str:
    """The text of a message's content: a string, or a list of parts, of which thoughts and pictures are left out."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list | dict):
        return "".join(_part(part) for part in (content if isinstance(content, list) else [content]))
    raise PassingError(f"no chat completion: content is {type(content).__name__}", is_of_request=True)


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict) or str(part.get("type", "text")) not in ("text", "output_text", "message"):
        return ""
    return next((_text(part[key]) for key in _TEXT_KEYS if isinstance(part.get(key), str | list | dict)), "")


def _refusal_part(content: object) -> str:
    parts = content if isinstance(content, list) else []
    return next((str(part["refusal"]) for part in parts if isinstance(part, dict) and part.get("refusal")), "")


def _reasoning(message: dict[str, Any]) -> tuple[str, str]:
    """The field that holds the model's reasoning, and its text; empty where there is none."""
    fields = [(key, message.get(key)) for key in _REASONING_KEYS]
    content = message.get("content")
    parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
    fields += [
        (f"its part {kind}", part) for part in parts if re.search(r"think|reason", kind := str(part.get("type")))
    ]
    texts = ((name, " ".join(_strings(field))) for name, field in fields)
    return next(((name, text) for name, text in texts if text), ("", ""))


def _strings(value: object) -> Iterable[str]:
    """All texts in a value, but for what says of which type it is."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ("type", "format", "id", "signature"):
                yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _ending(reason: object) -> tuple[FinishReason, str]:
    """What a `finish_reason` means, and the server's word for it."""
    if isinstance(reason, dict):
        reason = reason.get("type") or reason.get("reason")
    if reason is None or reason == "":
        return "stop", "none"
    word = str(reason)
    plain = re.sub(r"[\s-]+", "_", word.rpartition(".")[2].strip().lower())
    if plain in _STOPS:
        return "stop", word
    return next((meaning for meaning, words in _ENDINGS if re.search(words, plain)), "unknown"), word


@dataclass(frozen=True)
class _Tokens:
    counts: tuple[int, int]
    are_told: bool


def _tokens(usage: object, request: Request, output: str) -> _Tokens:
    """Tokens of prompt and output: what the server says, else an estimate by the texts' length."""
    told = usage if isinstance(usage, dict) else {}
    prompt = _number(told, "prompt_tokens", "input_tokens", "prompt_eval_count")
    written = _number(told, "completion_tokens", "output_tokens", "eval_count")
    total = _number(told, "total_tokens")
    # No prompt has no tokens, and no text: a zero there is a field that the server does not fill.
    prompt, written = prompt or None, written if written or not output else None
    if total is not None and prompt is not None and written is None:
        written = max(0, total - prompt)
    if total is not None and written is not None and prompt is None:
        prompt = max(0, total - written)
    counts = (
        estimate_tokens(*(message.content for message in request.messages)) if prompt is None else prompt,
        estimate_tokens(output) if written is None else written,
    )
    return _Tokens(counts, prompt is not None and written is not None)


def _number(told: dict[str, Any], *names: str) -> int | None:
    for name in names:
        value = told.get(name)
        if isinstance(value, str) and value.strip().isdigit():
            value = int(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**31:
            return round(value)
    return None


# -- A refusal --------------------------------------------------------------------------------------------------------


def _refusal(
    status: int, headers: Mapping[str, str], body: bytes, engine: EndpointEngine, models: Sequence[str]
) -> Reply:
    value = _parsed(body)
    words = _words(value) if value is not None else _line(body)
    message = _message(value) if value is not None else _line(body)
    said = shown(f"status {status}: {message}" if message else f"status {status}")
    is_passing = status in _PASSING_STATUSES or status >= 500
    if 300 <= status < 400:
        to = headers.get("location", "")
        raise FinalError(
            f"it sends elsewhere (status {status}{f', to {_without_query(to)}' if to else ''})",
            "Give the address where it is as --base-url.",
        )
    if status == 401:
        raise FinalError(f"it refuses the request ({said})", _BAD_KEY)
    if status == 402 or _NO_FUNDS.search(words):
        raise FinalError(f"it refuses the request ({said})", "See to the account.")
    if status == 429 and _TOO_LARGE_TO_EVER_PASS.search(words):
        return _no_text("context", said, _too_long_advice())
    if status not in _PASSING_STATUSES and _MODERATED.search(words) and not _OF_THE_ACCOUNT.search(message):
        return _no_text("moderated", said, _moderated_advice(_NOT_ALLOWED if status == 403 else ""))
    if status not in _PASSING_STATUSES and _TOO_LONG.search(words):
        return _no_text("context", said, _too_long_advice())
    if is_passing:
        wait_s = wait_asked(headers)
        if wait_s is not None and wait_s > _LONGEST_WAIT_S:
            raise NoReplyError(f"status {status}: it asks to be left alone for {wait_s:,.0f} s")
        advice = _advice(words, "", engine) if status >= 500 else ""
        raise PassingError(said, advice, wait_s=wait_s, is_of_request=status >= 500, pauses_all=status == 429)
    is_model = _NO_SUCH_MODEL.search(words)
    if status in (404, 405):
        raise FinalError(
            f"it refuses the request ({said})", _model_advice(engine, models) if is_model else _address_advice(engine)
        )
    if status == 403:
        return _no_text("refused", said, _NOT_ALLOWED)
    advice = _model_advice(engine, models) if is_model else _advice(words, _REFUSES_ALL, engine)
    return _no_text("refused", said, advice)


def _no_text(reason: FinishReason, said: str, advice: str) -> Reply:
    return Reply(Answer(shown(said), reason, 0, 0), advice)


def _advice(words: str, otherwise: str, engine: EndpointEngine) -> str:
    if name := next((name for name in engine.extra_body if re.search(rf"\b{re.escape(name)}\b", words)), ""):
        return f"Take {name} out of engine.extra_body, or give it another value."
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, words, re.IGNORECASE)), otherwise)


def _moderated_advice(more: str) -> str:
    advice = "Its content filter lets no request pass: change the seeds or the prompt, or ask another model."
    return f"{advice} {more}".strip()


def _too_long_advice() -> str:
    return (
        "No prompt fits its model: start the server with a longer context (vLLM: --max-model-len), or lower"
        " sampling.max_tokens."
    )


def _model_advice(engine: EndpointEngine, models: Sequence[str]) -> str:
    offered = f"; it offers {', '.join(models[:_MOST_MODELS])}" if models else ""
    more = f" and {len(models) - _MOST_MODELS} more" if len(models) > _MOST_MODELS else ""
    return f"Set engine.model (--llm) to a name that the server knows, in place of {engine.model}{offered}{more}."


def _address_advice(engine: EndpointEngine) -> str:
    if address := next((url for url in engine.base_urls if "/v1" not in urlsplit(url).path), None):
        return f"--base-url ends where the server's API begins, mostly /v1. Try: {address.rstrip('/')}/v1"
    return (
        "See that --base-url ends where the server's API begins, mostly /v1, and that it has the model that is asked."
    )


def _parsed(body: bytes) -> Any:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    # Google's servers send a list with the error in it.
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def _error_of(value: dict[str, Any], *, has_choice: bool) -> object:
    """The error that a reply of status 200 holds, in the forms that servers have for it."""
    if error := value.get("error"):
        return error
    if has_choice:
        return None
    base = value.get("base_resp")  # MiniMax
    if isinstance(base, dict) and base.get("status_code"):
        return {"message": base.get("status_msg"), "code": base["status_code"]}
    names = ("error_msg", "errorMessage", "detail", "errors")
    is_error = value.get("object") == "error" or any(value.get(name) for name in names)
    return value if is_error or ("message" in value and "code" in value) else None


def _status_in(error: object) -> int:
    """The status that an error inside a reply of status 200 stands for: its code, else that of a server in trouble."""
    fields = cast("dict[str, Any]", error) if isinstance(error, dict) else {}
    for name in ("code", "status", "status_code", "http_code"):
        code = fields.get(name)
        if str(code).isdigit() and 400 <= int(str(code)) < 600:
            return int(str(code))
    if re.search(r"invalid_request|bad_?request|validation", _words(error), re.IGNORECASE):
        return 400
    return 500


def _words(value: object) -> str:
    """All that a server says, its codes and types too, on one line."""
    return _NAMES.sub("", json.dumps(value, ensure_ascii=False))[:4000]


def _message(value: object) -> str:
    """The words for people in an error of whatever form."""
    if isinstance(value, str):
        inner = _parsed(value.encode()) if value.lstrip().startswith(("{", "[")) else None
        return _message(inner) or value if isinstance(inner, dict | list) else value
    if isinstance(value, list):
        return "; ".join(filter(None, map(_message, value)))
    if not isinstance(value, dict):
        return ""
    for name in ("error", "message", "detail", "msg", "error_msg", "errorMessage", "errors", "status_msg", "reason"):
        if told := _message(value.get(name)):
            where = value.get("loc")
            place = f"{'.'.join(map(str, where))}: " if isinstance(where, list) else ""
            raw = value.get("metadata")
            inner = _message(raw.get("raw")) if isinstance(raw, dict) else ""
            return place + told + (f": {inner}" if inner else "")
    return ""


def _line(body: bytes | str) -> str:
    """A text that is no JSON, on one line; of a page of HTML, its words."""
    text = body if isinstance(body, str) else body[:4000].decode(errors="replace")
    if re.match(r"\s*<(?:!doctype|html|head|body)", text, re.IGNORECASE):
        text = html.unescape(
            re.sub(r"<style.*?</style>|<script.*?</script>|<[^>]*>", " ", text, flags=re.DOTALL | re.I)
        )
    return shown(text)


def _without_query(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path
