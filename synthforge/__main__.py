"""The command `synthforge`, which is `python -m synthforge` as well."""

import signal


def main() -> None:
    """Entry point. While modules are still read, and when all is done, Ctrl-C ends the process without a traceback."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored, as for a job in the background
        from .cli.main import main as run

        run()
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from .cli.main import main as run

    try:
        signal.signal(signal.SIGINT, before)
        run()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
