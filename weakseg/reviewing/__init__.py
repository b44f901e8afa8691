"""A local web page on which a person reviews targets and corrects evidence."""
