from hypothesis import settings

# The same cases on every machine, however slow that is.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")
