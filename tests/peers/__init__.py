"""Other ways to answer what the API answers, from the same tables: tests/benchmarks measures them too."""
