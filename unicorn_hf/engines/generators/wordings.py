"""What servers say, and advice: the wordings of vLLM, SGLang, TGI, llama.cpp, Ollama and hosted servers.

Add a new wording with one line, and a line in the tests.
"""

import re

from unicorn_hf.engines.endpoint import API_KEY

TOO_LONG = re.compile(
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
TOO_LARGE_TO_EVER_PASS = re.compile(r"request too large", re.IGNORECASE)
"""A 429 that no retry fixes: the request alone exceeds the limit of tokens per minute."""
MODERATED = re.compile(
    r"content[ _-]?(?:filter|policy|moderation|management|safety|exists risk|violat)|moderat(?:ed|ion)|\bflagged\b"
    r"|(?:usage|use|safety|community) (?:guidelines|polic)|safety (?:system|filter|check|reasons|settings? block)"
    r"|responsible ?ai|data_?inspection|inappropriate|harmful|(?<!case )(?<!case-)\bsensitive(?! to)|sensitive ?content"
    r"|prohibited[ _]content|high risk|guardrail|\bunsafe\b|new_sensitive|jailbreak|\"filtered\": true|block_?reason"
    r"|violat\w* .{0,40}(?:polic|guideline|terms)|\"code\": \"?1301\b|敏感|违规|不安全|审核",
    re.IGNORECASE,
)
OF_THE_ACCOUNT = re.compile(r"\b(?:account|organi[sz]ation|api[ _-]?key|token|ip address|region|country)\b", re.I)
NO_FUNDS = re.compile(
    r"insufficient_quota|current_quota_error|insufficient.{0,12}(?:balance|credit|fund)|billing[ _]hard[ _]limit"
    r"|credit balance|spending limit|budget.{0,12}exceeded|free tier .{0,30}exhausted|arrearage"
    r"|account .{0,30}(?:suspended|good standing)|欠费|余额不足",
    re.IGNORECASE,
)
"""Not `exceeded your current quota` alone, which Google's servers say of requests per minute."""
REFUSED_KEY = re.compile(
    r"(?:invalid|incorrect|expired|unknown|missing)[ _-]api[ _-]?key"
    r"|api[ _-]?key.{0,20}\b(?:not valid|invalid|expired)\b",
    re.IGNORECASE,
)
"""Some servers say it with 400."""
NO_SUCH_MODEL = re.compile(
    r"model_not_found|(?:unknown|invalid|no such) model|no model named|not a valid model|no endpoints found"
    r"|模型不存在|(?:models?|deployment)\b[^.]{0,100}(?:not (?:found|available|loaded)|(?:does|do) not exist"
    r"|doesn['’]t exist|decommissioned|no longer (?:supported|available))",
    re.IGNORECASE,
)

ADVICE: tuple[tuple[str, str], ...] = (
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

CHECK_PROXY = "Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, or put the server's host into NO_PROXY."
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
    (r"proxy", CHECK_PROXY),
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
BAD_KEY = f"Set {API_KEY} to a key that the server accepts."
MODERATED_ADVICE = "Its content filter rejects every request: change the seeds or the prompt, or use another model."
TOO_LONG_ADVICE = (
    "No prompt fits the model's context: start the server with a longer one (vLLM: --max-model-len), or lower"
    " sampling.max_tokens."
)
FEWER = "Lower engine.concurrency, or run the command again later."
NOT_ALLOWED = f"Set {API_KEY} to a key with access to this model."
REFUSES_ALL = (
    "The server refuses every request of this form. Omit fields that it does not support with engine.extra_body:"
    " {NAME: null}. See the server's log, and the page Engines of the documentation."
)


def connection_advice(said: str) -> str:
    """Advice for a connection error with this message."""
    return next((advice for words, advice in _CONNECTION if re.search(words, said, re.IGNORECASE)), NOT_THERE)
