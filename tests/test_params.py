"""Completion as a shell asks for it, and what is told to who is nearly right."""

import subprocess
from pathlib import Path

import pytest

from tests.builds import command, unicorn


def completed(line: str, cwd: Path, **more: str) -> list[str]:
    """What bash would be told at the end of `line`, as `kind,word`."""
    words = line.split(" ")
    environment = {"_UNICORN_HF_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return unicorn(cwd=cwd, **environment, **more).stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("unicorn-hf bui", ["plain,build"]),
        ("unicorn-hf build --transf", ["plain,--transfer"]),
        ("unicorn-hf build --transfer mean_shift_", ["plain,mean_shift_raw", "plain,mean_shift_to_image"]),
        ("unicorn-hf build --engine e", ["plain,endpoint", "plain,echo"]),
        ("unicorn-hf build unicorn", ["plain,unicorn-1.2m", "file,unicorn"]),
        ("unicorn-hf doctor d", ["plain,demo", "file,d"]),
        ("unicorn-hf build --encoder h", ["plain,hashing:"]),
        ("unicorn-hf calibrate --encoder ", ["plain,open_clip:", "plain,clip:", "plain,llm2clip:", "plain,hashing:"]),
        ("unicorn-hf build --cluster cu", ["plain,cuda", "file,cu"]),
        ("unicorn-hf export --format l", ["plain,llava"]),
        ("unicorn-hf build --seeds f", ["file,f"]),
        ("unicorn-hf card un", ["dir,un"]),
        ("unicorn-hf compare unicorn oth", ["dir,oth"]),
        ("unicorn-hf build --from un", ["dir,un"]),
    ],
)
def test_words_are_completed(line: str, words: list[str], tmp_path: Path) -> None:
    assert completed(line, tmp_path) == words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_that_a_shell_reads(shell: str, tmp_path: Path) -> None:
    done = unicorn(cwd=tmp_path, _UNICORN_HF_COMPLETE=f"{shell}_source")
    assert done.returncode == 0, done.stderr
    assert f"_UNICORN_HF_COMPLETE={shell}_complete" in done.stdout


def test_bash_completes_by_the_script(tmp_path: Path) -> None:
    script = unicorn(cwd=tmp_path, _UNICORN_HF_COMPLETE="bash_source").stdout
    asked = (
        "COMP_WORDS=(unicorn-hf build --transfer mean_shift_); COMP_CWORD=3\n"
        f'_unicorn_hf_completion "{command()[0]}"; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mean_shift_raw", "mean_shift_to_image"]


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["biuld"], "'build'"),
        (["build", "--captoins", "3"], "'--captions'"),
        (["build", "demoo"], "demo"),
        (["build", "--transfer", "mean-shift"], "'mean_shift'"),
        (["build", "--engine", "VLLM"], "'vllm'"),
        (["build", "--engine", "vlm"], "'vllm'"),
        (["build", "--encoder", "openclip:ViT-B-32/openai"], "open_clip:...?"),
        (["build", "--engine", "echo", "--encoder", "hashing:8", "--cluster", "locl"], "local"),
        (["export", "unicorn", "--format", "lava", "--out", "x"], "'llava'"),
    ],
)
def test_the_nearest_is_named(arguments: list[str], near: str, tmp_path: Path) -> None:
    done = unicorn(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert f"Did you mean {near}" in done.stderr
