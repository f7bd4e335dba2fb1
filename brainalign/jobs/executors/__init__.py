"""What runs cells: one module per executor, each with the verb `map_cells(function, cells)`."""
