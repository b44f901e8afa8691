"""What people see of a run: the report, charts, drawings, tables, the check of a data set, and
dashboards."""
