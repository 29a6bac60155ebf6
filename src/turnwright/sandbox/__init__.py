"""The sandbox: where code that nobody vouches for runs, with no network, no host files and hard limits."""
