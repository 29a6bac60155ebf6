"""Launch: builds what a run needs on this machine and starts it. Importing this loads no torch."""
