"""What servers say, and what it means: a new server's words join with one line."""
# ruff: noqa: E501 - what a server says stands on one line.

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.engines import EndpointEngine
from unicorn_hf.engines.generators.completions import Reply
from unicorn_hf.engines.generators.failures import FinalError, PassingError
from unicorn_hf.engines.generators.replies import read_models, read_reply
from unicorn_hf.engines.generators.wordings import connection_advice

ENGINE = EndpointEngine(kind="endpoint", base_url="http://host:8000/v1", model="org/m")
ASKED = {"messages": [{"role": "user", "content": "Describe a dog on a beach, please."}], "max_tokens": 512}
DOG = "A brown dog stands on a beach."
USAGE = {"prompt_tokens": 10, "completion_tokens": 20}


def read(status: int, body: object, engine: EndpointEngine = ENGINE, **headers: str) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_reply(status, headers, content, ASKED, engine, ("org/m", "org/other"))


def completion(finish: object = "stop", usage: object = USAGE, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"choices": [choice]} | ({"usage": usage} if usage != "absent" else {})


ENDINGS = {
    "stop": [
        "stop", "STOP", None, "", "eos", "eos_token", "stop_sequence", "end_turn", "COMPLETE", "FinishReason.STOP", "null",
        "EosToken", "stop_words", "FINISH_REASON_STOP", {"type": "stop"},
    ],
    "length": [
        "length", "max_tokens", "MAX_TOKENS", "model_length", "max_output_tokens", "token_limit", "ERROR_LIMIT", "truncated",
        {"reason": "max_tokens"},
    ],
    "moderated": [
        "content_filter", "SAFETY", "sensitive", "refusal", "PROHIBITED_CONTENT", "guardrail_intervened", "RECITATION",
        "content-filter", "ERROR_TOXIC", "blocklist",
    ],
    "tool_call": ["tool_calls", "function_call", "tool_use", "MALFORMED_FUNCTION_CALL"],
    "unknown": ["repetition", "other", "pause_turn", "whatever", 7, "FINISH_REASON_UNSPECIFIED"],
}  # fmt: skip


@pytest.mark.parametrize(("meaning", "word"), [(meaning, word) for meaning, words in ENDINGS.items() for word in words])
def test_how_an_answer_ended(meaning: str, word: object) -> None:
    reply = read(200, completion(word, content=DOG))
    assert reply.answer.finish_reason == meaning
    assert reply.is_text == (meaning in ("stop", "length"))
    assert (reply.answer.text == DOG) == reply.is_text
    assert DOG in reply.answer.text
    assert str(word or "") in reply.answer.text or reply.is_text
    assert (reply.answer.num_prompt_tokens, reply.answer.num_output_tokens) == (10, 20)


@pytest.mark.parametrize(
    "ending", [{"finishReason": "MAX_TOKENS"}, {"stop_reason": "max_tokens"}, {"done_reason": "length"}], ids=str
)
def test_the_ending_may_have_another_name(ending: dict[str, Any]) -> None:
    (choice,) = completion(None, content=DOG)["choices"]
    assert read(200, {"choices": [choice | ending]}).answer.finish_reason == "length"


@pytest.mark.parametrize(
    ("finish", "number", "meaning"), [(None, 512, "length"), (None, 511, "stop"), ("stop", 512, "stop")]
)
def test_an_answer_of_the_most_tokens_without_an_ending_is_cut(finish: object, number: int, meaning: str) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": number}
    assert read(200, completion(finish, usage, content=DOG)).answer.finish_reason == meaning


@pytest.mark.parametrize(
    "word",
    ["error", "abort", "insufficient_system_resource", "network_error", "timeout", "cancelled", "load", "engine_overloaded"],
)  # fmt: skip
def test_an_answer_that_the_server_broke_off_is_asked_again(word: str) -> None:
    with pytest.raises(PassingError, match=word) as caught:
        read(200, completion(word, content=DOG))
    assert caught.value.is_of_request


@pytest.mark.parametrize(
    "message",
    [
        {"content": DOG},
        {"content": DOG, "reasoning_content": "Hm."},
        {"content": DOG, "refusal": None, "tool_calls": []},
        {"content": f"<think>Hm.</think>\n\n{DOG}"},
        {"content": [{"type": "text", "text": DOG}]},
        {"content": [DOG]},
        {"content": {"type": "text", "text": DOG}},
        {"content": [{"type": "output_text", "text": DOG, "annotations": []}]},
        {"content": [{"type": "text", "text": {"value": DOG}}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]},
                {"type": "text", "text": DOG},
            ]
        },
        {"content": [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": DOG}]},
        {"content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": DOG}]},
        {"content": [{"type": "text", "text": DOG[:9]}, {"type": "text", "text": DOG[9:]}]},
        {"content": [{"type": None, "text": DOG}]},
        {"content": [{"type": "TEXT", "text": DOG}]},
        {"content": [[{"text": DOG}]]},
        {"content": [{"text": "Hm.", "thought": True}, {"text": DOG}]},
        {"content": [{"type": "summary_text", "text": "Hm."}, {"type": "answer", "text": DOG}]},
        {"content": {"role": "model", "parts": [{"text": DOG}]}},
        {"content": DOG, "refusal": False},
    ],
    ids=str,
)
def test_where_the_text_is(message: dict[str, Any]) -> None:
    reply = read(200, completion(**message))
    assert (reply.answer.text, reply.answer.finish_reason) == (DOG, "stop")


@pytest.mark.parametrize(
    "choices",
    [
        [None, {"index": 1, "message": {"content": DOG}}],
        [{"message": {"content": None}, "finish_reason": "tool_calls"}, {"message": {"content": DOG}}],
        [{"message": {"content": DOG}}, {"index": 1, "message": {"content": "Another dog."}}],
    ],
    ids=str,
)
def test_which_choice_is_the_answer(choices: list[Any]) -> None:
    assert read(200, {"choices": choices}).answer.text == DOG


def test_a_json_object_is_an_answer_in_json() -> None:
    assert json.loads(read(200, completion(content={"answer": "a", "b": [1]})).answer.text) == {"answer": "a", "b": [1]}


@pytest.mark.parametrize("content", [DOG, f"<think>Hm.</think>{DOG}"])
def test_what_no_file_can_hold_is_replaced(content: str) -> None:
    assert read(200, completion(content=f"{content}\ud83d")).answer.text == f"{DOG}\ufffd"
    assert read(200, json.dumps(completion(content=content)).encode().replace(b"brown", b"br\xffwn")).is_text
    assert read(400, {"error": {"message": '{"message": "no\ud83d"}'}}).answer.text == "status 400: no?"


EVENTS = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": DOG[:9]}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm.", "content": DOG[9:]}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "usage": None},
    {"choices": [], "usage": USAGE},
]


@pytest.mark.parametrize("end", ["\n\n", "\r\n\r\n", "\n\n: comment\nevent: message\n"])
@pytest.mark.parametrize("name", ["data: ", "data:"])
def test_a_stream_that_was_not_asked_for_is_an_answer(name: str, end: str) -> None:
    lines = [f"{name}{json.dumps(event)}{end}" for event in EVENTS]
    answer = read(200, "".join([*lines, f"{name}[DONE]{end}"]).encode()).answer
    assert (answer.text, answer.finish_reason, answer.num_output_tokens) == (DOG, "length", 20)
    with pytest.raises(PassingError):
        read(200, "".join(lines[:2]).encode())
    with pytest.raises(PassingError, match="status 529: Overloaded"):
        read(200, f'{lines[0]}{name}{{"error": {{"message": "Overloaded", "code": 529}}}}{end}'.encode())


@pytest.mark.parametrize("status", [200, 201, 206])
def test_any_status_of_success_is_one(status: int) -> None:
    assert read(status, completion(content=DOG)).answer.text == DOG


@pytest.mark.parametrize("finish", ["stop", "length"])
@pytest.mark.parametrize(
    "message",
    [
        {"content": {"type": "thinking", "thinking": "The user wants it plain."}},
        {"content": None, "reasoning_content": "The user wants it plain."},
        {"content": "", "reasoning": "The user wants it plain."},
        {"content": None, "thinking": "The user wants it plain."},
        {"content": None, "reasoning_details": [{"type": "reasoning.text", "text": "The user wants it plain."}]},
        {"content": [{"type": "thinking", "thinking": "The user wants it plain."}]},
        {"reasoning_content": "The user wants it plain."},
        {"content": "<think>The user wants it plain."},
        {"content": "<|channel|>analysis<|message|>The user wants it plain."},
    ],
    ids=str,
)
def test_reasoning_alone_is_no_answer(message: dict[str, Any], finish: str) -> None:
    reply = read(200, completion(finish, **message))
    assert reply.answer.finish_reason == "thought"
    assert "The user wants it plain." in reply.answer.text
    assert "enable_thinking: false" in reply.advice
    assert "--reasoning-parser" in reply.advice


HIDDEN = USAGE | {"completion_tokens_details": {"reasoning_tokens": 20}}


@pytest.mark.parametrize(
    ("finish", "usage"), [("length", USAGE), ("length", "absent"), ("stop", HIDDEN), (None, HIDDEN)]
)
def test_reasoning_that_is_only_counted_is_no_answer(finish: object, usage: object) -> None:
    reply = read(200, completion(finish, usage, content=""))
    assert reply.answer.finish_reason == "thought"
    assert "reasoning_effort" in reply.advice


@pytest.mark.parametrize(
    "message", [{"content": None}, {"content": ""}, {}, {"content": []}, {"content": " \n"}], ids=str
)
def test_an_empty_answer_needs_others_that_are_not(message: dict[str, Any]) -> None:
    reply = read(200, completion(**(message or {"role": "assistant"})))
    assert (reply.answer.text, reply.answer.finish_reason) == ("", "stop")
    assert not reply.is_text


@pytest.mark.parametrize(
    "message",
    [
        {"content": None, "refusal": "I'm sorry, I can't assist with that."},
        {"content": [{"type": "refusal", "refusal": "I'm sorry, I can't assist with that."}]},
    ],
    ids=str,
)
def test_a_refusal_of_the_model_is_told_with_its_words(message: dict[str, Any]) -> None:
    answer = read(200, completion(**message)).answer
    assert answer.finish_reason == "moderated"
    assert "I'm sorry, I can't assist with that." in answer.text


@pytest.mark.parametrize(
    ("usage", "prompt", "output", "told"),
    [
        (USAGE, 10, 20, True),
        ({"prompt_tokens": 10.0, "completion_tokens": 20.0, "cost": 0.1}, 10, 20, True),
        ({"input_tokens": 10, "output_tokens": 20}, 10, 20, True),
        ({"prompt_tokens": "10", "completion_tokens": "20"}, 10, 20, True),
        ({"prompt_tokens": 10, "total_tokens": 30}, 10, 20, True),
        ({"prompt_tokens": "10.0", "completion_tokens": "20."}, 10, 20, True),
        (USAGE | {"total_tokens": 130, "completion_tokens_details": {"reasoning_tokens": 100}}, 10, 120, True),
        (USAGE | {"total_tokens": 5, "completion_tokens_details": None}, 10, 20, True),
        ({"prompt_tokens": 0, "completion_tokens": 20, "total_tokens": 20}, 19, 20, False),
        ({"prompt_tokens": "\u00b2", "completion_tokens": "9" * 5000}, 19, 18, False),
        ({"prompt_tokens": float("nan"), "completion_tokens": float("inf")}, 19, 18, False),
        ({"prompt_tokens": 10, "completion_tokens": None}, 10, 18, False),
        ({"prompt_tokens": None, "completion_tokens": None}, 19, 18, False),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, 19, 18, False),
        ({"prompt_tokens": -1, "completion_tokens": "many"}, 19, 18, False),
        ({"prompt_tokens": "9" * 5000, "completion_tokens": "²"}, 19, 18, False),
        (None, 19, 18, False),
        ("absent", 19, 18, False),
        ({}, 19, 18, False),
        ([], 19, 18, False),
    ],
)
def test_tokens_are_counted_or_estimated(usage: object, prompt: int, output: int, told: bool) -> None:
    answer = read(200, completion(usage=usage, content=DOG)).answer
    assert (answer.num_prompt_tokens, answer.num_output_tokens, answer.tokens_told) == (prompt, output, told)
    assert answer.text == DOG


def test_a_call_of_a_tool_is_no_text() -> None:
    assert read(200, completion(content=None, tool_calls=[{"id": "1"}])).answer.finish_reason == "tool_call"


TOO_LONG = {
    "OpenAI": (400, {"error": {"code": "context_length_exceeded", "message": "This model's maximum context length is 8."}}),
    "OpenAI, window": (400, {"error": {"message": "Your input exceeds the context window of this model."}}),
    "vLLM, old": (400, {"object": "error", "message": "This model's maximum context length is 640 tokens. However, you "
                        "requested 2024 tokens (2000 in the messages, 24 in the completion).", "type": "BadRequestError"}),
    "vLLM, older": (400, {"message": "The prompt (total length 700) is too long to fit into the model"}),
    "vLLM, decoder": (400, {"error": {"message": "The decoder prompt (length 700) is longer than the maximum model length of 640."}}),
    "vLLM, by param": (400, {"error": {"param": "input_tokens", "type": "BadRequestError", "code": 400, "message": "no"}}),
    "SGLang": (400, {"object": "error", "message": "The input (61709 tokens) is longer than the model's context length (40960 tokens)."}),
    "SGLang, request": (400, {"message": "Requested token count exceeds the model's maximum context length of 8192 tokens."}),
    "TGI": (422, {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000 `inputs` "
                  "tokens and 100 `max_new_tokens`", "error_type": "validation"}),
    "TGI, inputs": (422, {"error": "Input validation error: `inputs` must have less than 1024 tokens. Given: 1500"}),
    "llama.cpp": (400, {"error": {"code": 400, "type": "exceed_context_size_error", "message": "too long", "n_ctx": 128}}),
    "llama.cpp, old": (500, {"error": {"code": 500, "message": "the request exceeds the available context size. try increasing it"}}),
    "LM Studio": (400, {"error": "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded"}),
    "Ollama": (400, {"error": {"message": "prompt too long; exceeded max context length by 12 tokens"}}),
    "Ollama, input": (400, {"error": "input length exceeds maximum context length"}),
    "Anthropic": (400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 213462 tokens > 200000 maximum"}}),
    "Anthropic, both": (400, {"error": {"message": "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000"}}),
    "Anthropic, bytes": (413, {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}}),
    "Mistral": (400, {"message": "Prompt contains 9000 tokens and 0 draft tokens, too large for model with 8192 maximum context length", "code": "3051"}),
    "Together": (422, {"error": {"message": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193."}}),
    "OpenRouter": (400, {"error": {"message": "This endpoint's maximum context length is 32768 tokens. However, you requested about 42832 tokens", "code": 400}}),
    "OpenRouter, wrapped": (400, {"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": '{"error":{"message":"prompt is too long"}}'}}}),
    "Groq": (413, {"error": {"message": "Request too large for model `llama` on tokens per minute (TPM): Limit 6000, Requested 7000", "code": "rate_limit_exceeded"}}),
    "Groq, reduce": (400, {"error": {"message": "Please reduce the length of the messages or completion."}}),
    "OpenAI, TPM": (429, {"error": {"message": "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 40000."}}),
    "DeepSeek": (400, {"error": {"message": "This model's maximum context length is 65536 tokens. However, you requested 69648 tokens"}}),
    "DeepSeek, SiliconFlow": (400, {"code": 20015, "message": "length of prompt_tokens (163280) must be less than max_seq_len (32768)."}),
    "Google": (400, [{"error": {"code": 400, "message": "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."}}]),
    "xAI": (400, {"error": "This model's maximum prompt length is 131072 but the request contains 537812 tokens."}),
    "Moonshot": (400, {"error": {"message": "Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)"}}),
    "DashScope": (400, {"error": {"code": "invalid_parameter_error", "message": "Range of input length should be [1, 30720]"}}),
    "Zhipu": (400, {"error": {"code": "1261", "message": "Prompt exceeds max length"}}),
    "Zhipu, Chinese": (400, {"error": {"code": "1261", "message": "Prompt 超长"}}),
    "Cohere": (400, {"message": "too many tokens: total number of tokens in the prompt cannot exceed 4081"}),
    "nginx": (413, b"<html><head><title>413 Request Entity Too Large</title></head></html>"),
    "Express": (413, b"Payload Too Large"),
    "Perplexity": (400, {"error": {"message": "The total length of all messages is too long."}}),
    "Bedrock": (400, {"message": "Input is too long for requested model."}),
    "LiteLLM": (400, {"error": {"message": "litellm.ContextWindowExceededError: too long"}}),
    "TensorRT-LLM": (400, {"message": "The sum of prompt length (5000), query length (1) should not exceed max_num_tokens (4096)"}),
    "inside a 200": (200, {"error": {"message": "This endpoint's maximum context length is 32768 tokens.", "code": 400}}),
}  # fmt: skip


@pytest.mark.parametrize("server", TOO_LONG)
def test_a_prompt_that_is_too_long(server: str) -> None:
    reply = read(*TOO_LONG[server])
    assert reply.answer.finish_reason == "context"
    assert "--max-model-len" in reply.advice


MODERATED = {
    "OpenRouter": (403, {"error": {"message": "Your input was flagged by moderation.", "code": 403}}),
    "OpenRouter, metadata": (403, {"error": {"message": "Input refused", "metadata": {"reasons": ["violence"], "flagged_input": "x", "provider_name": "moderation"}}}),
    "Azure": (400, {"error": {"code": "content_filter", "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
    "OpenAI": (400, {"error": {"message": "Your request was rejected as a result of our safety system.", "code": "moderation_blocked"}}),
    "OpenAI, policy": (400, {"error": {"message": "Invalid prompt: your prompt was flagged as potentially violating our usage policy."}}),
    "DeepSeek": (400, {"error": {"message": "Content Exists Risk", "code": "invalid_request_error"}}),
    "DashScope": (400, {"error": {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}}),
    "Moonshot": (400, {"error": {"type": "content_filter", "message": "The request was rejected because it was considered high risk"}}),
    "Zhipu": (400, {"contentFilter": [{"level": 1, "role": "user"}], "error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}),
    "xAI": (403, {"code": "invalid", "error": "Content violates usage guidelines."}),
    "Volcengine": (400, {"error": {"code": "InputTextSensitiveContentDetected", "message": "may contain sensitive information"}}),
    "legal reasons": (451, {"error": {"message": "Blocked: prohibited content"}}),
    "LiteLLM": (400, {"error": {"message": "litellm.ContentPolicyViolationError: no"}}),
    "Guardrails": (400, {"error": {"message": "Guardrail raised an exception"}}),
    "inside a 200": (200, {"error": {"message": "flagged by moderation", "code": 403}}),
    "MiniMax, inside a 200": (200, {"choices": None, "base_resp": {"status_code": 1026, "status_msg": "input new_sensitive"}}),
    "no message": (200, {"choices": [{"index": 0, "finish_reason": "content_filter: PROHIBITED_CONTENT"}]}),
    "plain text": (403, b"Request blocked by content policy"),
    "empty choices, Azure": (200, {"choices": [], "prompt_filter_results": [{"content_filter_results": {"hate": {"filtered": True}}}]}),
    "empty choices, Google": (200, {"choices": [], "prompt_feedback": {"block_reason": "PROHIBITED_CONTENT"}}),
}  # fmt: skip


@pytest.mark.parametrize("server", MODERATED)
def test_a_moderated_prompt(server: str) -> None:
    reply = read(*MODERATED[server])
    assert reply.answer.finish_reason == "moderated"
    assert reply.answer.text
    assert not reply.is_text


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "a word that we\n do not like"}},
        {"error": "a word that we do not like"},
        {"detail": "a word that we do not like"},
        {"message": "a word that we do not like", "code": 3},
        {"errors": [{"message": "a word that we do not like"}]},
        [{"error": {"message": "a word that we do not like"}}],
        b"<!doctype html><html><style>p{}</style><body>a word that we <b>do not</b> like</body>",
        b"a word that we do not like",
        {"error": {"message": '{"error": {"message": "a word that we do not like"}}'}},
    ],
    ids=str,
)
@pytest.mark.parametrize("status", [400, 413, 422, 403, 451])
def test_a_refusal_is_told_with_the_servers_words(body: object, status: int) -> None:
    reply = read(status, body)
    assert reply.answer.finish_reason == "refused"
    assert reply.answer.text == f"status {status}: a word that we do not like"
    assert ("UNICORN_HF_API_KEY" in reply.advice) == (status == 403)


ADVICE = {
    "system role, Gemma": (400, {"message": "System role not supported"}, "engine.system_role: false"),
    "system role, template": (400, {"message": "Conversation roles must alternate user/assistant/user"}, "engine.system_role: false"),
    "system role, Google": (400, {"error": {"message": "Developer instruction is not enabled for models/gemma"}}, "engine.system_role: false"),
    "system role, o1": (400, {"error": {"message": "Unsupported value: 'messages[0].role' does not support 'system' with this model."}}, "engine.system_role: false"),
    "max_tokens": (400, {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."}}, "max_completion_tokens: 512"),
    "max_tokens, too large": (400, {"error": {"message": "max_tokens is too large: 99999. This model supports at most 4096 completion tokens"}}, "captions.sampling.max_tokens"),
    "seed, FastAPI": (422, {"detail": [{"loc": ["body", "seed"], "msg": "extra fields not permitted", "type": "value_error.extra"}]}, "{seed: null}"),
    "seed": (400, {"error": {"message": "Unrecognized request argument supplied: seed"}}, "{seed: null}"),
    "temperature": (400, {"error": {"message": "Unsupported value: 'temperature' does not support 0.9 with this model.", "param": "temperature"}}, "{temperature: null}"),
    "repetition_penalty": (400, {"error": {"message": "Unknown name 'repetition_penalty'"}}, "{repetition_penalty: null}"),
    "response_format": (400, {"error": {"message": "This response_format type is unavailable now"}}, "engine.json_schema: none"),
    "extra_body": (400, {"error": {"message": "Unknown field: chat_template_kwargs"}}, "Remove chat_template_kwargs from"),
    "chat template, vLLM": (400, {"error": {"message": "'dict object' has no attribute 'contents'", "type": "BadRequestError"}}, "--chat-template"),
    "chat template, Jinja": (400, {"error": {"message": "'bos' is undefined"}}, "--chat-template"),
    "chat template": (400, {"message": "As of transformers v4.44, default chat template is no longer allowed"}, "--chat-template"),
    "model": (400, {"error": {"message": "x is not a valid model ID"}}, "it offers org/m, org/other"),
    "model, Groq": (400, {"error": {"message": "The model `x` has been decommissioned and is no longer supported."}}, "--llm"),
    "only a stream": (400, {"error": {"message": "This model only supports stream mode"}}, "{stream: true"),
    "thinking, DashScope": (400, {"error": {"message": "parameter.enable_thinking must be set to false for non-streaming calls"}}, "{enable_thinking: false}"),
    "http to https, nginx": (400, b"<html><title>400 The plain HTTP request was sent to HTTPS port</title></html>", "https://"),
    "the request repeated, FastAPI": (422, {"detail": [{"loc": ["body", "seed"], "msg": "no", "input": {"temperature": 1, "messages": ["A sensitive plant"]}}]}, "{seed: null}"),
    "anything": (400, {"error": {"message": "Bad request"}}, "engine.extra_body"),
}  # fmt: skip


@pytest.mark.parametrize("case", ADVICE)
def test_advice_names_what_helps(case: str) -> None:
    status, body, told = ADVICE[case]
    reply = read(status, body, ENGINE.model_copy(update={"extra_body": {"chat_template_kwargs": {}}}))
    assert reply.answer.finish_reason == "refused"
    assert told in reply.advice


FINAL = {
    "401": (401, {"error": {"message": "Incorrect API key"}}, "UNICORN_HF_API_KEY"),
    "bad key, Google": (400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key."}}], "UNICORN_HF_API_KEY"),
    "bad key, xAI": (400, {"error": "Incorrect API key provided: x***y."}, "UNICORN_HF_API_KEY"),
    "no funds, LiteLLM": (400, {"error": {"type": "budget_exceeded", "message": "Budget has been exceeded! Max budget: 10"}}, "account"),
    "no funds, Fireworks": (412, {"error": "Account x is suspended, possibly due to the monthly limit"}, "account"),
    "model, Azure": (404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not exist."}}, "--llm"),
    "402": (402, {"error": {"message": "Insufficient credits"}}, "account"),
    "no quota": (429, {"error": {"code": "insufficient_quota", "message": "You exceeded your current quota"}}, "account"),
    "no funds, OpenAI": (400, {"error": {"code": "billing_hard_limit_reached", "message": "Billing hard limit has been reached"}}, "account"),
    "no funds, Anthropic": (400, {"error": {"type": "invalid_request_error", "message": "Your credit balance is too low to access the API."}}, "account"),
    "no funds, DashScope": (400, {"error": {"code": "Arrearage", "message": "Access denied, please make sure your account is in good standing."}}, "account"),
    "no funds, Moonshot": (429, {"error": {"type": "exceeded_current_quota_error", "message": "Your account is suspended"}}, "account"),
    "no funds, xAI": (403, {"error": "Your team has reached its monthly spending limit."}, "account"),
    "407": (407, b"Proxy Authentication Required", "HTTP_PROXY"),
    "410": (410, b"", "--base-url"),
    "404, OpenRouter": (404, {"error": {"message": "No endpoints found that can handle the requested parameters."}}, "--llm"),
    "404": (404, {"detail": "Not Found"}, "--base-url"),
    "405": (405, b"", "--base-url"),
    "model, vLLM": (404, {"object": "error", "message": "The model `x` does not exist."}, "it offers org/m, org/other"),
    "model, Ollama": (404, {"error": {"message": 'model "x" not found, try pulling it first'}}, "--llm"),
    "model, OpenAI": (404, {"error": {"code": "model_not_found", "message": "no"}}, "--llm"),
    "moved": (307, b"", "--base-url"),
}  # fmt: skip


@pytest.mark.parametrize("case", FINAL)
def test_what_no_request_would_change(case: str) -> None:
    status, body, told = FINAL[case]
    with pytest.raises(FinalError) as caught:
        read(status, body, location="http://user:password@other/v1?key=secret")
    assert told in caught.value.advice
    assert str(status) in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


@pytest.mark.parametrize("path", ["/", "", "/chat/completions", "/v1/chat/completions", "/v1/completions/"])
def test_an_address_is_completed(path: str) -> None:
    engine = ENGINE.model_copy(update={"base_url": f"http://host:8000{path}"})
    with pytest.raises(FinalError) as caught:
        read(404, {"detail": "Not Found"}, engine)
    assert caught.value.advice.endswith("Try: http://host:8000/v1")
    with pytest.raises(PassingError) as passing:
        read(200, b"Ollama is running", engine)
    assert passing.value.advice == caught.value.advice


PASSING = {
    "429": (429, {"error": {"message": "slow down"}}),
    "500": (500, {"error": "out of luck"}),
    "503": (503, b"<html>busy</html>"),
    "TGI": (424, {"error": "Request failed during generation", "error_type": "generation"}),
    "Groq, flex": (498, {"error": {"message": "Flex tier capacity exceeded"}}),
    "nginx": (499, b""),
    "Cloudflare": (524, b"error code: 524"),
    "moderation is down": (503, {"error": {"message": "The moderation service is overloaded"}}),
    "accepted": (202, b""),
    "an error with a code in words": (200, {"error": {"type": "overloaded_error", "message": "Overloaded"}}),
    "llama.cpp loads": (503, {"error": {"message": "Loading model", "code": 503}}),
    "no JSON": (200, b"<html>hello</html>"),
    "nothing": (200, b""),
    "cut": (200, b'{"choices": [{"message": {"content": "A do'),
    "no choices": (200, {"object": "chat.completion"}),
    "empty choices": (200, {"choices": []}),
    "another schema": (200, {"choices": [{"text": DOG}]}),
    "a number": (200, completion(content=7)),
    "a list": (200, [1, 2]),
    "null": (200, None),
    "an error in a 200": (200, {"error": {"message": "Upstream is busy", "code": 502}}),
    "an error without a code": (200, {"error": "overloaded"}),
    "an error in a choice": (200, {"choices": [{"error": {"message": "no", "code": 502}, "message": {"content": DOG}}]}),
}  # fmt: skip


@pytest.mark.parametrize("case", PASSING)
def test_what_may_pass(case: str) -> None:
    with pytest.raises(PassingError) as caught:
        read(*PASSING[case])
    assert len(str(caught.value)) < 400


QUOTA = "You exceeded your current quota, please check your plan and billing details."


@pytest.mark.parametrize(
    ("status", "error", "headers", "wait_s"),
    [
        (429, "slow down", {"retry-after": "7"}, 7),
        (429, "slow down", {}, None),
        (200, {"code": "rate_limit_exceeded", "message": "Please try again in 20s."}, {}, 20),
        (
            429,
            {"message": QUOTA, "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}]},
            {},
            37,
        ),
    ],
)
def test_a_limit_on_the_rate_of_requests(
    status: int, error: object, headers: dict[str, str], wait_s: float | None
) -> None:
    with pytest.raises(PassingError) as caught:
        read(status, {"error": error}, **headers)
    assert (caught.value.wait_s, caught.value.pauses_all) == (wait_s, True)
    assert "engine.concurrency" in caught.value.advice


def test_an_error_without_words_beside_an_answer_is_none() -> None:
    assert read(200, completion(content=DOG) | {"error": {"code": 0, "message": ""}}).answer.text == DOG


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate", "SSL_CERT_FILE"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: IP address mismatch, certificate is not valid", "host"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired", "renew it"),
        ("ConnectError: unable to get local issuer certificate", "SSL_CERT_FILE"),
        ("ConnectError: [SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "http://"),
        ("ConnectError: [Errno -2] Name or service not known", "host name"),
        ("ProxyError: 407 Proxy Authentication Required", "NO_PROXY"),
        ("RemoteProtocolError: Server disconnected without sending a response.", "https://"),
        ("ConnectError: All connection attempts failed", "--base-url"),
        ("ClientConnectorDNSError: [Errno -2] Name or service not known", "host name"),
        ("ClientConnectorError: [Errno 111] Connect call failed ('127.0.0.1', 9)", "--base-url"),
        ("ClientProxyConnectionError: [Errno 111] Connect call failed ('127.0.0.1', 9)", "NO_PROXY"),
        ("ServerDisconnectedError: Server disconnected", "https://"),
        ("ClientPayloadError: Response payload is not completed", "https://"),
    ],
)  # fmt: skip
def test_what_a_connection_needs(said: str, told: str) -> None:
    assert told in connection_advice(said)


def test_secrets_are_not_shown() -> None:
    said = read(400, {"error": {"message": "Bearer abc.def may not, sk-proj-0123456789abcdef neither"}}).answer.text
    assert "abc" not in said
    assert "0123456789" not in said


def test_the_models_of_a_server() -> None:
    assert read_models(200, b'{"data": [{"id": "a"}, {"id": "b"}, {}, 3]}') == ("a", "b")
    for status, body in ((404, b""), (200, b"[]"), (200, b'{"data": null}'), (500, b"<html>"), (403, b"missing scope")):
        assert read_models(status, body) == ()
    with pytest.raises(FinalError, match="status 401: no"):
        read_models(401, b'{"error": "no"}')


_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "error", "code", "usage", "finish_reason", "type", "text"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)


def nested(inside: str, depth: int, part: tuple[str, str]) -> bytes:
    """A reply whose text is in so many brackets."""
    value = f'{part[0] * depth}"x"{part[1] * depth}'
    return (inside % value).encode()


@pytest.mark.parametrize("part", [("[", "]"), ('[{"type":"text","text":', "}]"), ('{"error":', "}")])
@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("inside", ['{"error":%s}', '{"choices":[{"message":{"content":%s}}]}', "%s"])
def test_a_reply_that_is_nested_deeply_is_none(inside: str, status: int, part: tuple[str, str]) -> None:
    for depth in (400, 900, 100_000):
        try:
            assert not read(status, nested(inside, depth, part)).is_text
        except PassingError as failure:
            assert "no chat completion" in str(failure)


@given(st.sampled_from([200, 307, 400, 401, 403, 404, 413, 422, 429, 500]), _json)
def test_nothing_that_a_server_says_is_a_bug(status: int, value: object) -> None:
    try:
        reply = read(status, value)
    except (PassingError, FinalError) as failure:
        assert str(failure)
    else:
        assert reply.answer.text or not reply.is_text
