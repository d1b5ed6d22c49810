"""Reasoning is no part of an answer, however it is marked; what no table knows is found in what is to be published."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unicorn_hf.core.thoughts import leftover, spoken

DOG = "A brown dog stands on a beach."
HARMONY = "<|channel|>analysis<|message|>The user wants a dog.<|end|>"
FINAL = f"<|start|>assistant<|channel|>final<|message|>{DOG}"
THOUGHT = {
    "DeepSeek R1, Qwen 3": f"<think>\nA dog, plainly.\n</think>\n\n{DOG}",
    "opened by the template": f"A dog, plainly.\n</think>\n\n{DOG}",
    "an empty thought": f"<think>\n\n</think>\n\n{DOG}",
    "two thoughts": f"<think>One.</think><think>Two.</think>{DOG}",
    "a thought that names its mark": f"<think>I close with </think> soon.</think>{DOG}",
    "capitals": f"<Thought>A dog.</Thought>\n{DOG}",
    "thinking": f"<thinking>A dog.</thinking>{DOG}",
    "reasoning": f"<reasoning>A dog.</reasoning>{DOG}",
    "EXAONE": f"<thought>A dog.</thought>{DOG}",
    "Seed": f"<seed:think>A dog.<seed:cot_budget_reflect>9 left</seed:cot_budget_reflect></seed:think>{DOG}",
    "MiniMax M3": f"<mm:think>A dog.</mm:think>{DOG}",
    "K2": f"<ifm|think_fast>A dog.</ifm|think_fast>{DOG}",
    "HY v3": f"<think:high>A dog.</think:high>{DOG}",
    "Magistral": f"[THINK]A dog.[/THINK]{DOG}",
    "Kimi-VL": f"◁think▷A dog.◁/think▷{DOG}",
    "Kimi K3": f"<|open|>think<|sep|>A dog.<|close|>think<|sep|><|open|>response<|sep|>{DOG}<|close|>response<|sep|>",
    "Command A": f"<|START_THINKING|>A dog.<|END_THINKING|><|START_RESPONSE|>{DOG}<|END_RESPONSE|>",
    "Gemma 4": f"<|channel>thought\nA dog.<channel|>{DOG}",
    "MedGemma": f"<unused94>thought\nA dog.<unused95>{DOG}",
    "OpenThinker": f"<|begin_of_thought|>A dog.<|end_of_thought|>\n<|begin_of_solution|>{DOG}<|end_of_solution|>",
    "Granite 3.2": f"Here is my thought process:\nA dog.\n\nHere is my response:\n{DOG}",
    "Granite 3.3": f"<think>A dog.</think><response>{DOG}</response>",
    "Apriel": f"Here are my reasoning steps:\nA dog.\n[BEGIN FINAL RESPONSE]\n{DOG}\n[END FINAL RESPONSE]\n<|end|>",
    "Hunyuan": f"<think>\nA dog.\n</think>\n<answer>\n{DOG}\n</answer>",
    "GLM-4.5V": f"<think>A dog.</think><|begin_of_box|>{DOG}<|end_of_box|>",
    "GLM-4.5V, not thinking": f"<|begin_of_box|>{DOG}<|end_of_box|>",
    "an answer's tags alone": f"<answer>{DOG}</answer>",
    "harmony": f"{HARMONY}{FINAL}",
    "harmony, returned": f"{HARMONY}{FINAL}<|return|>",
    "harmony, opened by the template": f"analysis<|message|>A dog.<|end|>{FINAL}",
    "harmony, two thoughts": f"{HARMONY}<|start|>assistant<|channel|>commentary<|message|>Hm.<|end|>{FINAL}",
    "harmony, constrained": f"{HARMONY}<|start|>assistant<|channel|>final <|constrain|>json<|message|>{DOG}<|return|>",
    "harmony, not thinking": f"<|channel|>final<|message|>{DOG}",
    "harmony without its tokens": f"analysisThe user wants a dog.assistantfinal{DOG}",
    "harmony without its tokens, commentary": f"analysisA dog.assistantcommentaryHm.assistantfinal{DOG}",
    "harmony without its tokens, not thinking": f"final{DOG}",
    "nested": f"<think>A <think>dog</think>.</think>{DOG}",
    "spaces and attributes": f'< think budget="5">A dog.</ think >{DOG}',
    "further names": f"<deep_thinking>A dog.</deep_thinking><chain-of-thought>A dog.</chain-of-thought>{DOG}",
    "brackets": f"[Reasoning]A dog.[/Reasoning]{DOG}",
    "Pangu": f"[unused16]A dog.[unused17]{DOG}",
    "harmony, a call": f"{HARMONY}<|start|>assistant<|channel|>commentary to=functions.f<|message|>{{}}<|call|>{FINAL}",
    "Muse": f"<|start|>assistant to=self<|message|>A dog.<|eom|><|start|>assistant to=user<|message|>{DOG}<|eot|>",
}  # fmt: skip
UNFINISHED = {
    "think": "<think>A dog, or perhaps",
    "think, nothing after it": "<think>A dog.</think>\n",
    "only the closing mark": "A dog.</think>",
    "an answer, then a thought": "A dog. <think>But what",
    "Magistral": "[THINK]A dog",
    "Kimi-VL": "◁think▷A dog",
    "Seed": "<seed:think>A dog",
    "Granite": "Here is my thought process:\nA dog",
    "an attribute": '<thinking effort="low">A dog',
    "harmony": "<|channel|>analysis<|message|>The user wants",
    "harmony, a call": "<|start|>assistant to=functions.f<|channel|>commentary<|message|>{}<|call|>",
    "harmony, between the two": f"{HARMONY}<|start|>assistant",
    "harmony without its tokens": "analysisThe user wants",
}
PLAIN = (
    DOG,
    f"  {DOG}\n",
    "",
    "An analysis of the soil hangs on the wall of the final room.",
    "Final preparations are under way: a cook < 3 helpers > stands at the stove.",
    json.dumps({"pairs": [{"question": "What is it?", "answer": "A dog."}]}),
    "Question: What is it?\nAnswer: A dog.",
    "The user interface of the machine glows green.",
    "The assistant finalizes a drawing.",
)


@pytest.mark.parametrize("form", THOUGHT)
def test_an_answer_without_its_thought(form: str) -> None:
    found = spoken(THOUGHT[form])
    assert (found.text, found.is_thought_only) == (DOG, False)
    assert spoken(found.text) == found


@pytest.mark.parametrize(
    "end", ["<|im_end|>", "<|eot_id|>", "</s>", "<end_of_turn>\n", "<｜end▁of▁sentence｜>", "<|return|>\n<|endoftext|>"]
)
def test_the_token_at_the_end_of_an_answer_is_removed(end: str) -> None:
    assert (spoken(f"{DOG}{end}").text, spoken(end).text) == (DOG, "")
    assert not spoken(f"{DOG}{end}").is_thought_only
    assert leftover(spoken(f"{DOG}{end}\nuser\nAnother dog.").text)


@pytest.mark.parametrize("form", UNFINISHED)
def test_an_unfinished_thought_is_no_answer(form: str) -> None:
    found = spoken(UNFINISHED[form])
    assert found.text == ""
    assert found.is_thought_only


@pytest.mark.parametrize("text", PLAIN)
def test_a_text_without_a_thought_is_as_it_was(text: str) -> None:
    found = spoken(text)
    assert (found.text, found.is_thought_only) == (text, False)
    assert leftover(text) is None


@pytest.mark.parametrize(
    "text",
    [
        *(text for name, text in THOUGHT.items() if "tokens, not thinking" not in name and "alone" not in name),
        *(text for name, text in UNFINISHED.items()),
        f"<|im_start|>assistant\n{DOG}",
        f"{DOG}<|im_end|>",
        f"{DOG}<|eot_id|>",
        f"{DOG}</s>",
        f"<s>[INST] a dog [/INST] {DOG}",
        f"<<SYS>>Be brief.<</SYS>> {DOG}",
        f"{DOG}<end_of_turn>",
        f"{DOG}<｜end▁of▁sentence｜>",
        f"<|reserved_special_token_5|>{DOG}",
        f"&lt;think&gt;A dog.&lt;/think&gt; {DOG}",
        f"Assistant: {DOG}",
        f"{DOG} \ufffd",
        f"analysis: the dog is brown. {DOG}",
        f"analysis\n\nThe dog is brown. {DOG}",
        f"Thinking: the dog is brown. {DOG}",
        f"Thinking Process: 1. the dog. {DOG}",
        f"Okay, the user wants me to describe a dog. {DOG}",
        f"Okay, so the user asks for a caption. {DOG}",
        f"We need to write a caption about a dog. {DOG}",
        f"Let me think about the dog. {DOG}",
        f"Hmm, let me craft a caption. {DOG}",
    ],
)
def test_what_is_left_of_a_thought_or_a_template_is_found(text: str) -> None:
    assert leftover(text)


@pytest.mark.parametrize(
    "text",
    [
        "The user manual lies open on a desk beside a lamp.",
        "We see a harbour at dawn.",
        "A chart reads x < 5 | y > 3 above the bench.",
        "Right now, a dog runs. A sign reads [OPEN].",
        "A note reads [think about it].",
        "An assistant: a girl in a lab coat.",
        "First, a man in a red coat crosses the street.",
        "Thought bubbles rise from a painted bear.",
    ],
)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert leftover(text) is None


@pytest.mark.parametrize(
    "text", [" " * 20_000 + "x", "<think>" * 2000, "A dog. " * 3000, "analysis" * 2000, "<|" * 9000]
)
def test_no_text_takes_long(text: str) -> None:
    """Not by a clock: what grows faster than the text would not come to an end."""
    assert len(spoken(text).text) <= len(text)
    leftover(text)


@given(st.text(max_size=60), st.sampled_from(sorted(THOUGHT.values())), st.text(max_size=60))
def test_it_never_raises(before: str, thought: str, after: str) -> None:
    spoken(before + thought + after)
    leftover(before + thought + after)
