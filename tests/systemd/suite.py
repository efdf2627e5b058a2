"""The list of tests: each has a name, a bound on its time, and the state in which it begins."""

import signal

CASES = []


class Case:
    def __init__(self, function, seconds, running, fresh, packages_only, thorough):
        self.function, self.seconds, self.running, self.fresh = function, seconds, running, fresh
        self.packages_only, self.thorough = packages_only, thorough
        self.name = function.__name__.replace("_", " ")


def test(seconds, running=True, fresh=False, packages_only=False, thorough=False):
    """SECONDS: the bound. RUNNING: all workers serve when it begins, else the socket alone listens. FRESH: it gets a system
    of its own without the package, and the folder with all packages. PACKAGES_ONLY: it needs no system, and runs once.
    THOROUGH: it is too long for every run, and runs with --thorough."""

    def register(function):
        CASES.append(Case(function, seconds, running, fresh, packages_only, thorough))
        return function

    return register


class bounded:
    """Ends what is inside with an error after so many seconds."""

    def __init__(self, seconds):
        self.seconds = seconds

    def __enter__(self):
        signal.signal(signal.SIGALRM, self.over)
        signal.alarm(self.seconds)

    def over(self, *_):
        raise AssertionError(f"took longer than {self.seconds} s")

    def __exit__(self, *_):
        signal.alarm(0)
