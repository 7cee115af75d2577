"""`python -m tenku` is the `tenku` command."""

from tenku.cli import run

if __name__ == "__main__":
    run()
