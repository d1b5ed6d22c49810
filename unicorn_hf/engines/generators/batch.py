"""What a worker holds of the engine `batch`: the client has all answers before the workers begin."""

from collections.abc import Iterator, Sequence

from unicorn_hf.core.generation import Answer, Request


class UnansweredGenerator:
    """Implements `TextGenerator` for requests that no batch answered: it fails them."""

    def __init__(self, num_batches: int) -> None:
        self._why = f"{num_batches} batches did not answer it"

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        for position in range(len(requests)):
            yield position, Answer(self._why, "failed", 0, 0)

    def close(self) -> None:
        """There is nothing to close."""
