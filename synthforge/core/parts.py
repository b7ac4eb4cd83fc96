"""A part of a dataset's shards, `3/16`, for schedulers that start many processes of one command."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import ConfigError


@dataclass(frozen=True)
class Part:
    """Part `number` of `of`, counted from 1: `3/16` is the third of sixteen."""

    number: int
    of: int

    @staticmethod
    def parse(text: str) -> Part:
        """`3/16` as a part. Raises ConfigError for anything else."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ConfigError(f"--shards {text}: write K/N, part K of N, with K from 1 to N (`--shards 3/16`)")
        return Part(int(match[1]), int(match[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def within(self, shards: int) -> range:
        """The shards of this part, a contiguous range; together the parts cover every shard once."""
        return range((self.number - 1) * shards // self.of, self.number * shards // self.of)
