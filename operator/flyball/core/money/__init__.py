"""What workloads cost, by what prices, and within which budgets."""
