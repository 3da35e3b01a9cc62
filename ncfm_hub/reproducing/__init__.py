"""Make a published dataset again by its own record, and compare what comes out with what was published."""
