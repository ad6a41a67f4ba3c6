"""What goes on a page: rules, diversity and surfaces, as pure functions of candidates, cards and vectors."""
