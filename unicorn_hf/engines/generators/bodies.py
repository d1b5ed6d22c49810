"""Bodies of requests with OpenAI's chat completions."""

import json
from functools import lru_cache
from typing import Any

from unicorn_hf.core.generation import Request
from unicorn_hf.engines.endpoint import ServedModel
from unicorn_hf.engines.generators.chat_template import without_system

_SCHEMA_KEYS = {"openai": "json_schema", "tgi": "value"}
_parsed = lru_cache(maxsize=64)(json.loads)
"""Cached: thousands of requests share a few schemas."""


def chat_body(request: Request, engine: ServedModel) -> dict[str, Any]:
    """The body of a request, as JSON values."""
    sampling = request.sampling
    messages = request.messages if engine.system_role else without_system(request.messages)
    body: dict[str, Any] = {
        "model": engine.model,
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "temperature": sampling.temperature,
        "max_tokens": sampling.max_tokens,
        "seed": request.seed,
    }
    # Omit values that have no effect: TGI refuses a `top_p` of 1, and OpenAI's API has no `repetition_penalty`.
    if sampling.top_p != 1:
        body["top_p"] = sampling.top_p
    if sampling.repetition_penalty != 1:
        body["repetition_penalty"] = sampling.repetition_penalty
    if request.json_schema and engine.json_schema != "none":
        schema = {"name": "answer", "schema": _parsed(request.json_schema), "strict": True}
        body["response_format"] = {"type": "json_schema", _SCHEMA_KEYS[engine.json_schema]: schema}
    body |= engine.extra_body
    return {name: value for name, value in body.items() if value is not None}
