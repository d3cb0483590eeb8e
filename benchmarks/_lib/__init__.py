"""What the benchmarks share: rows that a run resumes from, the command line, tables, statistics, CPU times."""
