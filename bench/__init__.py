"""Speed and memory, measured: ``python -m bench`` prints what stands in bench/RESULTS.md."""
