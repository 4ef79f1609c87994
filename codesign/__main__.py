"""``python -m codesign``: the same as the ``codesign`` program."""

from codesign.cli import main

if __name__ == "__main__":
    main()
