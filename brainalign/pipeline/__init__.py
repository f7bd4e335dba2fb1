"""From data to numbers, cell by cell: the only place that knows the whole flow, one module per method.

A method is the table of an experiment file that says what is done with the features, and a module with these names:

- `prepare(experiment, data_dir)` loads the data and lays out the work: `cells`, `features`, `provenance`, ...
- `Computer(prepared, store)` computes a cell into a folder.
- `tabulate(prepared, path_of)` gathers the finished cells in the tables named in `TABLES`.
- `problems_of_settings(experiment)` and `problems_of_prepared(prepared, known)` name bad inputs, for `problems.check`;
  `LOADED_BY` is the verb of data sets that loads what it needs.
- `plan_cells(prepared)` says what every cell needs.
"""

import importlib

from brainalign.registry import Registry

METHODS = Registry(
    "method",
    {
        "encode": lambda: importlib.import_module("brainalign.pipeline.encoding"),
        "compare": lambda: importlib.import_module("brainalign.pipeline.comparison"),
        "decode": lambda: importlib.import_module("brainalign.pipeline.decoding"),
    },
)
