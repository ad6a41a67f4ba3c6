"""What `make bench` runs: each module has a `main()` that prints a table and merges its keys into results.json."""
