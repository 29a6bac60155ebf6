"""code_repair: small functions with one planted bug each, repaired in the sandbox and judged by hidden tests."""
