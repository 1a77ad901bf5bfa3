"""Plugins shipped with fdplug that need more of it than the contract offers."""
