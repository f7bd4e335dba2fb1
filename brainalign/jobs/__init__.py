"""Units of work, the store of the finished ones, and what runs them. Knows no science."""

from brainalign.registry import registry_of_folder

EXECUTORS = registry_of_folder("executor", "brainalign.jobs.executors", [f"{__path__[0]}/executors"])
