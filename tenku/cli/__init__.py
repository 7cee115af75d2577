"""The `tenku` command: parse, call, print. One file for each kind of work; torch is imported inside the functions."""

from tenku.cli.app import main, run

__all__ = ["main", "run"]
