"""A support desk on SQL: tickets worked by a policy, judged by what the database holds in the end."""
