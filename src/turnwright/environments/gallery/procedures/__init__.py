"""Generated procedures: every task brings another one."""
