"""What writes pages of the documentation site at build time: a page per plugin, figures from results, drawings."""
