"""What a run shows to people: the report, charts, drawings, tables, the check of a data set, and
dashboards."""
