"""The functions and classes people script against."""
