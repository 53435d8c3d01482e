"""How much traffic overflows to fallbacks, and how it comes back."""
