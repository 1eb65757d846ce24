"""`longshore-runner fetch` and `longshore-runner send`: the entry points of the two containers beside the user's."""

import os
import select
import signal
import sys


def main() -> None:
    """Run the subcommand that argv names; exit code 0, 1 for a failure (one line on stderr), 2 for a wrong call."""
    command = sys.argv[1] if len(sys.argv) == 2 else ""
    if command not in ("fetch", "send"):
        print(
            "usage: longshore-runner fetch|send  (inside a longshore pod; see its LONGSHORE_ variables)",
            file=sys.stderr,
        )
        sys.exit(2)
    # before the imports: a SIGTERM that comes early is then remembered, not lost
    ended = Ended() if command == "send" else None
    if command == "fetch":
        # as a container's first process it would not be ended by a signal that it does not handle
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))

    from longshore.runner.environment import Environment, RunnerError
    from longshore.runner.transfer import Api, one_line

    try:
        environment = Environment.read(os.environ)
        api = Api(environment.api, environment.token_file)
        if ended is None:
            from longshore.runner.fetch import fetch

            fetch(environment, api)
        else:
            from longshore.runner.send import say, send

            manifest = send(environment, api, ended)
            why = f" ({manifest.why})" if manifest.why else ""
            say(f"outputs {manifest.outputs}, {len(manifest.files)} files sent{why}")
            ended.no_more()
    except RunnerError as error:
        hint = f"; hint: {error.hint}" if error.hint else ""
        sys.exit(f"longshore-runner {command}: {one_line(error.message)}{hint}")


class Ended:
    """Whether SIGTERM has come. The signal writes into a pipe, so that waiting for it neither misses it nor polls."""

    _NUMBERS = (signal.SIGTERM, signal.SIGINT)

    def __init__(self) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in self._NUMBERS:
            signal.signal(number, lambda *_: None)

    def __call__(self, seconds: float) -> bool:
        """Wait up to `seconds` for it; once it has come, always True at once."""
        return bool(select.select([self._reader], [], [], seconds)[0])

    def no_more(self) -> None:
        """Take no notice of further ones: the interpreter's end puts handlers back to a default that would kill it."""
        for number in self._NUMBERS:
            signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    main()
