"""Interpret replies of servers with OpenAI's chat completions API: pure functions of status, headers and body.

The tables at the top hold the wordings of vLLM, SGLang, TGI, llama.cpp, Ollama and hosted servers: add a new wording
with one line.
"""

import html
import json
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from unicorn_hf.core.generation import Answer, FinishReason, estimate_tokens
from unicorn_hf.core.http import wait_asked
from unicorn_hf.core.thoughts import spoken
from unicorn_hf.engines.endpoint import API_KEY, ServedModel

_LONGEST_WAIT_S = 600.0
"""If a server asks for a longer pause, the request fails."""
MOST_REFUSALS = 20
"""Requests of a form without text, and none with text, from which on the form may be at fault, and not each request."""
_MOST_SHOWN = 300
_SETTLING_STATUSES = frozenset({400, 401, 402, 403, 404, 405, 406, 407, 410, 411, 413, 414, 415, 422, 426, 431, 451})
"""A retry changes nothing. After any other status the request is retried, except after a 500 whose words settle it."""

# -- Tables -----------------------------------------------------------------------------------------------------------

_ENDING_KEYS = ("finish_reason", "finishReason", "finish_details", "done_reason", "stop_reason")
_ENDINGS: tuple[tuple[FinishReason, str], ...] = (
    ("tool_call", r"tool|function"),
    (
        "length",
        r"length|max_?(?:new_|output_|completion_)?tokens|token_?limit|context_window|incomplete|truncat|error_limit",
    ),
    (
        "moderated",
        r"filter|safety|sensitive|refus|moderat|prohibit|block|spii|recitation|guardrail|toxic|policy|flagged|unsafe",
    ),
    (
        "failed",
        r"error|abort|cancel|insufficient|resource|timeout|time_limit|unavailable|overload|network|fail|interrupt"
        r"|preempt|^(?:un)?load$",
    ),
    ("stop", r"^(?:finish_reason_)?(?:stop\w*|eos\w*|end\w*|completed?|finished|done|success|none|null)$"),
)
"""Values of `finish_reason`, in the order of the tests. `failed` is a fault of the server: retry.

A missing reason is a normal end, unless the answer has as many tokens as it may have: an answer that is not streamed is
sent when it is complete, and some servers omit the reason.
"""

_TOO_LONG = re.compile(
    r"context_length_exceeded|exceed_context_size|context[ _-]?(?:length|window|size|limit)|\bcontext the overflows"
    r"|max(?:imum)?[ _](?:model|prompt|input|sequence|seq|total|num|message)[ _](?:len|length|tokens?)\b|max_seq_len"
    r"|(?:prompt|input|request)_too_(?:long|large)|string_above_max_length"
    r"|(?:prompts?|inputs?|messages?|query|request|payload|text)\b[^.]{0,80}\b"
    r"(?:too (?:long|large|many tokens|big)|longer than|larger than|greater than|exceed(?:s|ed|ing)?)\b[^.]{0,80}"
    r"|\b(?:prompt|input|message)s?[ _](?:is |was |are )?too (?:long|large|big)"
    r"|too many (?:input |prompt )?tokens|tokens? limit(?: of \d+)?(?: is)? exceeded|exceeded model token limit"
    r"|inputs?`?[ \w`+]* must (?:have less than|be (?:less than|<=?))|length of prompt_tokens"
    r"|range of input length|reduce (?:the length of|your|the) (?:the )?(?:messages?|prompts?|input)"
    r"|\"param\": \"input_tokens\"|request too large|超长|过长|超过.{0,12}(?:长度|上限|限制)|\"code\": \"?1261\b",
    re.IGNORECASE,
)
_TOO_LARGE_TO_EVER_PASS = re.compile(r"request too large", re.IGNORECASE)
"""A 429 that no retry fixes: the request alone exceeds the limit of tokens per minute."""
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
    r"insufficient_quota|current_quota_error|insufficient.{0,12}(?:balance|credit|fund)|billing[ _]hard[ _]limit"
    r"|credit balance|spending limit|arrearage|account .{0,30}(?:suspended|good standing)|欠费|余额不足",
    re.IGNORECASE,
)
"""Not `exceeded your current quota` alone, which Google's servers say of requests per minute."""
_NO_SUCH_MODEL = re.compile(
    r"model_not_found|(?:unknown|invalid|no such) model|no model named|not a valid model|no endpoints found"
    r"|models?\b[^.]{0,100}(?:not found|(?:does|do) not exist|doesn['’]t exist|not available|not loaded"
    r"|decommissioned|no longer (?:supported|available))",
    re.IGNORECASE,
)
_MOST_MODELS = 8

_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"system.{0,30}(?:role|message|prompt|instruction).{0,80}(?:not|n['’]t|un)|(?:not|n['’]t|un)\w* .{0,40}system"
        r"|system role|developer instruction|roles must alternate|only user(?:,| and) (?:assistant|model)"
        r"|(?:role|roles).{0,60}\bsystem\b",
        "The model does not support system prompts: set engine.system_role: false.",
    ),
    (
        r"max_completion_tokens|max_tokens.{0,60}(?:not|unsupported|unknown|extra|unexpected|unrecogni[sz]ed)"
        r"|(?:unsupported|unknown|extra|unexpected|unrecogni[sz]ed).{0,60}max_tokens",
        "Send max_tokens under its new name: engine.extra_body: {max_tokens: null, max_completion_tokens: 512}.",
    ),
    (r"max_(?:new_)?tokens", "Lower captions.sampling.max_tokens and instructions.sampling.max_tokens."),
    (
        r"response_format|json_schema|json_object|guided|structured|grammar|xgrammar|outlines",
        "The server does not support this JSON schema: set engine.json_schema: none (or tgi for TGI), "
        "or format: tagged for the tasks.",
    ),
    (
        r"chat[ _-]?template(?!_)|jinja|apply_chat|TemplateError|is undefined|dict object|no (?:filter|test) named"
        r"|unexpected '.{1,9}'|encountered unknown tag",
        "The chat template of the server's model fails: start the server with a working template (vLLM:"
        " --chat-template FILE), or set engine.system_role: false if the template does not support system prompts.",
    ),
    (r"enable_thinking", "Disable thinking: engine.extra_body: {enable_thinking: false}."),
    (
        r"\bstream(?:ing)?\b",
        "The server only streams: set engine.extra_body: {stream: true, stream_options: {include_usage: true}}.",
    ),
    (r"plain http request", "Use https:// in base_url."),
    (r"\bseed\b", "Omit the seed: engine.extra_body: {seed: null}. Runs are then not reproducible."),
    (r"temperature", "Omit the temperature: engine.extra_body: {temperature: null}, or change sampling.temperature."),
    (r"top_p", "Omit top_p: engine.extra_body: {top_p: null}, or set sampling.top_p: 1."),
    (
        r"repetition_penalty",
        "Omit the penalty: engine.extra_body: {repetition_penalty: null}, or set sampling.repetition_penalty: 1.",
    ),
)
"""For a server that refuses every request: a regular expression for its message, and advice."""

_CHECK_PROXY = "Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or put the server's host into NO_PROXY."
_CONNECTION: tuple[tuple[str, str], ...] = (
    (r"(?:hostname|ip address) mismatch|not valid for", "Use the host name of the server's certificate in base_url."),
    (r"certificate has expired", "The server's certificate has expired: renew it."),
    (
        r"certificate.verify.failed|self.signed|unable to get local issuer|certificate",
        "Set the variable SSL_CERT_FILE to a PEM file with the certificate of the server or of its authority.",
    ),
    (
        r"wrong.version.number|record.layer|unknown.protocol|http.request.*https",
        "The server does not use TLS at this address: use http:// in base_url.",
    ),
    (
        r"name or service|getaddrinfo|nodename|name resolution|no address|not known",
        "Check the host name in --base-url.",
    ),
    (r"proxy", _CHECK_PROXY),
    (r"content-encoding", "The server compresses its replies in a form that was not asked for: switch that off there."),
    (
        r"disconnected|illegal|malformed|bad.http|remoteprotocol|readerror|reset by peer|payload",
        "Check that the server runs. If it uses TLS at this address, use https:// in base_url.",
    ),
)
NOT_THERE = "Check that the server runs and that --base-url is its address."
THINKING = (
    "The model thinks, and its answer contains only the reasoning: disable thinking (vLLM, SGLang: engine.extra_body:"
    " {chat_template_kwargs: {enable_thinking: false}}; OpenAI: {reasoning_effort: low}) or raise max_tokens. If the"
    " model does not think, start the server without its reasoning parser (--reasoning-parser), which treats the whole"
    " answer as reasoning."
)
_BAD_KEY = f"Set {API_KEY} to a key that the server accepts."
_MODERATED_ADVICE = "Its content filter rejects every request: change the seeds or the prompt, or use another model."
_TOO_LONG_ADVICE = (
    "No prompt fits the model's context: start the server with a longer one (vLLM: --max-model-len), or lower"
    " sampling.max_tokens."
)
_FEWER = "Lower engine.concurrency, or run the command again later."
_NOT_ALLOWED = f"Set {API_KEY} to a key with access to this model."
_REFUSES_ALL = (
    "The server refuses every request of this form. Omit fields that it does not support with engine.extra_body:"
    " {NAME: null}. See the server's log, and the page Engines of the documentation."
)
_NAMED_STATUSES = (
    (429, r"rate.?limit|too.?many.?requests"),
    (401, r"authentication_error|unauthorized|invalid.?api.?key"),
    (400, r"invalid_request|bad_?request|validation"),
)
"""For an error without a status inside a reply of status 200."""
_TEXT_KEYS = ("text", "content", "output_text", "value", "parts")
_THOUGHT_PART = re.compile(r"think|thought|reason|summary", re.IGNORECASE)
_TEXT_PART = re.compile(r"text|message|answer|markdown", re.IGNORECASE)
"""Types of the parts of a content; other parts, e.g. images and calls of tools, are ignored."""
_NO_WORD = "none"
"""In place of a missing `finish_reason`."""
_LIMITS = ("max_tokens", "max_completion_tokens")
_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking", "thoughts", "reasoning_details", "reasoning_text")
_HTML = re.compile(r"<style.*?</style>|<script.*?</script>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_NAMES = re.compile(r'"(?:message|messages|text|error)": ')
"""Field names, which are not part of the server's message."""
_ECHOES = ("input", "flagged_input", "ctx")
"""Fields of an error that repeat the request."""
_SECRET = re.compile(r"\b(?:sk|hf|gsk|xai|pk|key|api)[-_][\w-]{12,}|(?<=Bearer )\S+", re.IGNORECASE)


# -- What a reply is --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reply:
    """An answer, or the reason why this request has none."""

    answer: Answer
    advice: str = ""
    """What to do if no request gets text; empty if the answer is text."""

    @property
    def is_text(self) -> bool:
        return not self.advice


@dataclass(eq=False)
class NoReplyError(Exception):
    """A request has no answer; the message is for the user."""

    message: str
    advice: str = ""
    wait_s: float | None = None
    is_of_request: bool = False
    """Whether this request may be the cause; others may be answered."""
    pauses_all: bool = False
    """Whether the server wants no request at all for `wait_s` (429)."""
    address: str = ""
    """Address of the server that failed, if known."""

    def __str__(self) -> str:
        return self.message


class PassingError(NoReplyError):
    """A temporary failure: the same request may succeed later."""


class FinalError(NoReplyError):
    """A failure that concerns all requests."""


def read_models(status: int, body: bytes) -> tuple[str, ...]:
    """The names of a server's models; none if it has no list of them, or not for this key (403).

    Raises:
        FinalError: the server refuses the key.
    """
    value = _parsed(body)
    if status == 401:
        raise FinalError(f"it refuses the request ({_said(status, _line_of(value, body))})", _BAD_KEY)
    data = value.get("data") if isinstance(value, dict) else None
    models = data if isinstance(data, list) else []
    return tuple(str(model["id"]) for model in models if isinstance(model, dict) and model.get("id"))


def read_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    asked: Mapping[str, Any],
    engine: ServedModel,
    models: Sequence[str] = (),
) -> Reply:
    """Interpret a server's reply to a request; names of headers are in lower case.

    `asked` is the body of the request, `models` are for advice.

    Raises:
        PassingError: retry later.
        FinalError: any other request would fail too.
    """
    if not 200 <= status < 300:
        return _refusal(status, headers, body, engine, models)
    value = _parsed(body)
    if value is None:
        value = _of_stream(body)
    if not isinstance(value, dict):
        raise PassingError(
            f"no chat completion: {_line(body)!r}" if body.strip() else "no chat completion: the reply is empty",
            _address_advice(engine),
            is_of_request=True,
        )
    choices = _objects_in(value.get("choices"))
    choice = next(filter(_has_content, choices), choices[0] if choices else {})
    error = choice.get("error") or _error_of(value, has_choice=bool(choice))
    if error:
        return _refusal(_status_in(error), headers, json.dumps({"error": error}).encode(), engine, models)
    if not choice:
        words = _words(value)
        if _MODERATED.search(words):
            return _no_text("moderated", f"no answer: {_line(words)}", _MODERATED_ADVICE)
        raise PassingError(f"no chat completion: no choices: {_line(words)}", is_of_request=True)
    return _completion(choice, value.get("usage"), asked)


def connection_advice(said: str) -> str:
    """Advice for a connection error with this message."""
    return next((advice for words, advice in _CONNECTION if re.search(words, said, re.IGNORECASE)), NOT_THERE)


def shown(text: str) -> str:
    """Shorten a text to one line, and mask anything that looks like a key."""
    return _SECRET.sub("***", " ".join(_well_formed(text).split()))[:_MOST_SHOWN]


def _well_formed(text: str) -> str:
    """The text with U+FFFD for halves of surrogate pairs, which no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def number_in(told: Mapping[str, Any], *names: str) -> int | None:
    """The first of these counts that a server tells, as a number or its digits; None if it tells none."""
    for name in names:
        value = told.get(name)
        if isinstance(value, str) and re.fullmatch(r"\d{1,15}(?:\.\d*)?", value.strip(), re.ASCII):
            value = float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**31:
            return round(value)
    return None


# -- A completion -----------------------------------------------------------------------------------------------------


def _completion(choice: dict[str, Any], usage: object, asked: Mapping[str, Any]) -> Reply:
    ending, word = _ending(choice)
    message = choice.get("message") or choice.get("delta")
    if not isinstance(message, dict):
        if ending != "moderated":
            raise PassingError("no chat completion: choices[0] has no message", is_of_request=True)
        message = {}
    content, (field, reasoning) = _text(message.get("content")), _reasoning(message)
    said = spoken(_well_formed(content))
    prompt = [str(asked_message.get("content")) for asked_message in asked.get("messages", ())]
    num_prompt, num_output, are_told = _tokens(usage, prompt, content + reasoning)
    if word == _NO_WORD and are_told and num_output >= (number_in(asked, *_LIMITS) or math.inf):
        ending = "length"

    def reply(reason: FinishReason, text: str, advice: str = "") -> Reply:
        return Reply(Answer(text, reason, num_prompt, num_output, tokens_told=are_told), advice)

    if ending == "failed":
        raise PassingError(f"the server aborted the answer (finish_reason {word!r})", is_of_request=True)
    refusals = (part.get("refusal") for part in (message, *_objects_in(message.get("content"))))
    if refusal := next((text for refusal in refusals for text in _strings(refusal) if text), ""):
        return reply("moderated", shown(f"the model refuses: {refusal}"), _MODERATED_ADVICE)
    if ending in ("moderated", "tool_call", "unknown"):
        advice = _MODERATED_ADVICE if ending == "moderated" else f"Its answers end with finish_reason {word!r}."
        return reply(ending, shown(f"finish_reason {word!r}, after: {said.text or reasoning!r}"), advice)
    if said.text.strip():
        return reply(ending, said.text)
    if message.get("tool_calls") or message.get("function_call"):
        return reply("tool_call", "the answer calls a tool", "Its answers call tools, although none was offered.")
    # Some servers show nothing of the reasoning, and only count its tokens.
    if said.is_thought_only or reasoning or ending == "length" or _num_thoughts(usage):
        nothing = "null" if message.get("content") is None else "without text"
        where = f"content is {nothing}, {field} is not" if field else "the answer is only reasoning"
        return reply("thought", shown(f"{where} (finish_reason {word!r}): {reasoning or content}"), THINKING)
    return reply(ending, "", "Its answers are empty: check the server's log and the chat template of its model.")


def _of_stream(body: bytes) -> dict[str, Any] | None:
    """The completion in a stream of events, which some servers send unasked; None if it is none, or incomplete."""
    events = [_parsed(line.removeprefix(b"data:")) for line in body.splitlines() if line.startswith(b"data:")]
    chunks = [event for event in events if isinstance(event, dict)]
    if error := next((chunk for chunk in chunks if chunk.get("error")), None):
        return error
    message: defaultdict[str, list[Any]] = defaultdict(list)
    ending, usage = None, None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in _objects_in(chunk.get("choices"))[:1]:
            ending = _ending_in(choice) or ending
            for delta in _objects_in([choice.get("delta") or choice.get("message")]):
                for name, part in delta.items():
                    message[name] += part if isinstance(part, list) else filter(None, [part])
    if not ending and b"[DONE]" not in body:
        return None
    return {"choices": [{"message": message, "finish_reason": ending}], "usage": usage}


def _has_content(choice: Mapping[str, Any]) -> bool:
    message = choice.get("message")
    return isinstance(message, dict) and bool(message.get("content"))


def _text(content: object) -> str:
    """The text of a message's content: a string, a list of parts, or a JSON object; thoughts and images are ignored."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        return "".join(map(_part, content))
    if isinstance(content, dict):
        is_part = any(key in content for key in ("type", *_TEXT_KEYS))
        return _part(content) if is_part else json.dumps(content, ensure_ascii=False)
    raise PassingError(f"no chat completion: content is {type(content).__name__}", is_of_request=True)


def _part(part: object) -> str:
    if isinstance(part, str | list):
        return _text(part)
    if not isinstance(part, dict) or _is_thought(part) or not _TEXT_PART.search(str(part.get("type") or "text")):
        return ""
    return next((_text(part[key]) for key in _TEXT_KEYS if isinstance(part.get(key), str | list | dict)), "")


def _is_thought(part: Mapping[str, Any]) -> bool:
    return part.get("thought") is True or bool(_THOUGHT_PART.search(str(part.get("type"))))


def _objects_in(value: object) -> list[dict[str, Any]]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


def _reasoning(message: dict[str, Any]) -> tuple[str, str]:
    """The field with the model's reasoning, and its text; both empty if there is none."""
    content = message.get("content")
    fields = [(key, message.get(key)) for key in _REASONING_KEYS]
    for part in _objects_in(content if isinstance(content, list) else [content]):
        if _is_thought(part):
            fields.append((f"its part {part.get('type', 'thought')}", part))
    texts = ((name, " ".join(_strings(field))) for name, field in fields)
    return next(((name, text) for name, text in texts if text), ("", ""))


def _strings(value: object) -> Iterable[str]:
    """All strings in a value, except types and ids."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if key not in ("type", "format", "id", "signature"):
                yield from _strings(part)
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)


def _ending_in(choice: Mapping[str, Any]) -> object:
    return next((reason for key in _ENDING_KEYS if (reason := choice.get(key)) not in (None, "")), None)


def _ending(choice: Mapping[str, Any]) -> tuple[FinishReason, str]:
    """The meaning of a choice's `finish_reason`, and the server's word for it."""
    reason = _ending_in(choice)
    if isinstance(reason, dict):
        reason = reason.get("type") or reason.get("reason")
    if reason is None:
        return "stop", _NO_WORD
    word = str(reason)
    plain = re.sub(r"[\s-]+", "_", word.rpartition(".")[2].strip().lower())
    return next((meaning for meaning, words in _ENDINGS if re.search(words, plain)), "unknown"), word


def _tokens(usage: object, asked: Sequence[str], output: str) -> tuple[int, int, bool]:
    """Tokens of prompt and output, and whether the server counted both; its missing counts are estimated."""
    told = usage if isinstance(usage, dict) else {}
    prompt = number_in(told, "prompt_tokens", "input_tokens", "prompt_eval_count")
    written = number_in(told, "completion_tokens", "output_tokens", "eval_count")
    total = number_in(told, "total_tokens")
    # Neither a prompt nor a text has zero tokens: a zero means that the server does not count them.
    prompt, written = prompt or None, written if written or not output else None
    if total is not None and prompt is not None:
        # Some servers leave the reasoning out of the output's tokens. It is paid.
        written = max(written or 0, total - prompt) or written
    if total is not None and written is not None and prompt is None:
        prompt = max(0, total - written) or None
    are_told = prompt is not None and written is not None
    if prompt is None:
        prompt = estimate_tokens(*asked)
    return prompt, estimate_tokens(output) if written is None else written, are_told


def _num_thoughts(usage: object) -> int:
    """Tokens of reasoning in the output."""
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    return number_in(details, "reasoning_tokens") or 0 if isinstance(details, dict) else 0


# -- A refusal --------------------------------------------------------------------------------------------------------


def _refusal(status: int, headers: Mapping[str, str], body: bytes, engine: ServedModel, models: Sequence[str]) -> Reply:
    value = _parsed(body)
    words = _words(value) if value is not None else _line(body)
    message = _line_of(value, body)
    said = _said(status, message)
    if 300 <= status < 400:
        to = headers.get("location", "")
        raise FinalError(
            shown(f"it redirects (status {status}{f', to {_without_query(to)}' if to else ''})"),
            "Set --base-url to the address of the API.",
        )
    if status == 401:
        raise FinalError(f"it refuses the request ({said})", _BAD_KEY)
    if status == 402 or _NO_FUNDS.search(words):
        raise FinalError(f"it refuses the request ({said})", "Check the account's balance and quota.")
    if status == 407:
        raise FinalError(f"the proxy refuses the request ({said})", _CHECK_PROXY)
    if status == 429 and _TOO_LARGE_TO_EVER_PASS.search(words):
        return _no_text("context", said, _TOO_LONG_ADVICE)
    if status in _SETTLING_STATUSES or status == 500:
        if _MODERATED.search(words) and not _OF_THE_ACCOUNT.search(message):
            advice = f"{_MODERATED_ADVICE} {_NOT_ALLOWED}" if status == 403 else _MODERATED_ADVICE
            return _no_text("moderated", said, advice)
        if _TOO_LONG.search(words):
            return _no_text("context", said, _TOO_LONG_ADVICE)
    if status not in _SETTLING_STATUSES:
        wait_s = wait_asked(headers, words)
        if wait_s is not None and wait_s > _LONGEST_WAIT_S:
            raise NoReplyError(f"status {status}: it asks for a pause of {wait_s:,.0f} s")
        is_limit = status == 429
        advice = _FEWER if is_limit else _advice(words, "", engine)
        raise PassingError(said, advice, wait_s=wait_s, is_of_request=status >= 500, pauses_all=is_limit)
    is_model = _NO_SUCH_MODEL.search(words)
    if status in (404, 405, 410, 426):
        raise FinalError(
            f"it refuses the request ({said})", _model_advice(engine, models) if is_model else _address_advice(engine)
        )
    if status == 403:
        return _no_text("refused", said, _NOT_ALLOWED)
    advice = _model_advice(engine, models) if is_model else _advice(words, _REFUSES_ALL, engine)
    return _no_text("refused", said, advice)


def read_result(status: int, headers: Mapping[str, str], body: bytes, engine: ServedModel) -> dict[str, Any]:
    """Interpret a reply that is a JSON object, but no chat completion.

    Raises:
        PassingError: retry later.
        FinalError: the server refuses the request.
    """
    value = _parsed(body)
    if isinstance(value, dict) and value.get("error") and "id" not in value:
        status = _status_in(value["error"]) if 200 <= status < 300 else status
    if not 200 <= status < 300:
        reply = _refusal(status, headers, body, engine, ())
        raise FinalError(f"it refuses the request ({reply.answer.text})", reply.advice)
    if not isinstance(value, dict):
        raise PassingError(f"no JSON object: {_line(body)!r}", _address_advice(engine))
    return value


def _line_of(value: object, body: bytes) -> str:
    """The server's message: from the parsed body, or the body itself if it is no JSON."""
    return _message(value) if value is not None else _line(body)


def _said(status: int, message: str) -> str:
    return shown(f"status {status}: {message}" if message else f"status {status}")


def _no_text(reason: FinishReason, said: str, advice: str) -> Reply:
    return Reply(Answer(shown(said), reason, 0, 0), advice)


def _advice(words: str, otherwise: str, engine: ServedModel) -> str:
    if name := next((name for name in engine.extra_body if re.search(rf"\b{re.escape(name)}\b", words)), ""):
        return f"Remove {name} from engine.extra_body, or change its value."
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, words, re.IGNORECASE)), otherwise)


def _model_advice(engine: ServedModel, models: Sequence[str]) -> str:
    offered = f"; it offers {', '.join(models[:_MOST_MODELS])}" if models else ""
    more = f" and {len(models) - _MOST_MODELS} more" if len(models) > _MOST_MODELS else ""
    return f"Set engine.model (--llm) to a model of the server instead of {engine.model}{offered}{more}."


def _address_advice(engine: ServedModel) -> str:
    for url in engine.base_urls:
        base = re.sub(r"(?:/chat)?(?:/completions)?/*$", "", url)
        base = base if "/v1" in urlsplit(base).path else f"{base}/v1"
        if base != url.rstrip("/"):
            return f"--base-url must be the base URL of the API, usually ending in /v1. Try: {base}"
    return "Check that --base-url is the base URL of the API, usually ending in /v1, and that the server has the model."


def _parsed(body: bytes) -> Any:
    try:
        value = json.loads(body.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None
    # Google's servers send the error in a list.
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def _error_of(value: dict[str, Any], *, has_choice: bool) -> object:
    """The error in a reply of status 200, in any of the forms that servers use."""
    error = value.get("error")
    if has_choice:
        # Some servers send an error of code 0 with each answer.
        return error if _message(error) else None
    if error:
        return error
    base = value.get("base_resp")  # MiniMax
    if isinstance(base, dict) and base.get("status_code"):
        return {"message": base.get("status_msg"), "code": base["status_code"]}
    names = ("error_msg", "errorMessage", "detail", "errors")
    is_error = value.get("object") == "error" or any(value.get(name) for name in names)
    return value if is_error or ("message" in value and "code" in value) else None


def _status_in(error: object) -> int:
    """The status for an error inside a reply of status 200: its code, or else 500."""
    fields = error if isinstance(error, dict) else {}
    for name in ("code", "status", "status_code", "http_code"):
        if re.fullmatch(r"[45]\d\d", code := str(fields.get(name))):
            return int(code)
    words = _words(error)
    return next((status for status, named in _NAMED_STATUSES if re.search(named, words, re.IGNORECASE)), 500)


def _words(value: object) -> str:
    """The whole error on one line, with codes and types."""
    return _NAMES.sub("", json.dumps(_without_echoes(value), ensure_ascii=False))[:4000]


def _without_echoes(value: object) -> object:
    if isinstance(value, dict):
        return {key: _without_echoes(part) for key, part in value.items() if key not in _ECHOES}
    return [_without_echoes(part) for part in value] if isinstance(value, list) else value


def _message(value: object) -> str:
    """The human-readable message of an error of any form."""
    if isinstance(value, str):
        inner = _parsed(value.encode(errors="replace")) if value.lstrip().startswith(("{", "[")) else None
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
    """A text that is not JSON, on one line; from HTML, only the text."""
    text = body if isinstance(body, str) else body[:4000].decode(errors="replace")
    if re.match(r"\s*<(?:!doctype|html|head|body)", text, re.IGNORECASE):
        text = html.unescape(_HTML.sub(" ", text))
    return shown(text)


def _without_query(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else parts.path
