"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# No deadline: a busy machine is no failure. Derandomised: a failure is a change's, not the day's.
settings.register_profile(
    "unicorn", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("unicorn")

pytest_plugins = ["tests.hub.fixtures"]
