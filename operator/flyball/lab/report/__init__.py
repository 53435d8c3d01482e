"""What people see of a suite: a table on the terminal, and one page of HTML with pictures."""
