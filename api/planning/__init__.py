"""Planners' work: counts of people made fit for statistics, and answers from them."""
