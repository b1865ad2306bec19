"""``python -m train``: the commands of training, a line each."""

from __future__ import annotations

from train.commands import COMMANDS


def main() -> int:
    """Print every command with what it is for."""
    width = max(map(len, COMMANDS)) + 2
    print("python -m COMMAND --help says more of each.\n")
    for name, text in COMMANDS.items():
        print(f"{name:{width}}{text}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
