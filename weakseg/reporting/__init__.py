"""What people look at: the report, charts, drawings, tables, the check of a data set, and
dashboards."""
