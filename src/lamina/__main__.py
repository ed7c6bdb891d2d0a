"""The command ``lamina``, as ``python -m lamina``."""

from lamina.cli.start import main

if __name__ == "__main__":
    main()
