"""Errors about data that a user points the package at."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class DatasetError(ValueError):
    """A dataset or bag cannot be used: which file, what is wrong with it, what to do.

    Attributes:
        path: The file or folder in question.
        problem: What is wrong with it.
        remedy: What the user can do about it.

    """

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        """Create the error and its message."""
        super().__init__(f'{path}: {problem}. {remedy}')
        self.path = path
        self.problem = problem
        self.remedy = remedy
