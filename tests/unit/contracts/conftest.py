from hypothesis import settings

# Generate the same cases everywhere and accept slow machines.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
