"""Log-in help on an old system: screens to read, a caller to ask, delays and side effects, and rules of security."""
