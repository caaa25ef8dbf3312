from pathlib import Path

HERE = Path(__file__).parent


def pytest_ignore_collect(config):
    """Benchmarks run only where they are asked for by path."""
    started = config.invocation_params.dir
    asked = [Path(started, argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in asked) else True
