"""Data sets: readers of published layouts, synthetic scenes, the audit."""
