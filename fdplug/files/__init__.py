"""One door for files: everything that fdplug reads, of its own or of users, comes in here, and nothing is trusted.

A `Source` is a file with what messages call it and what a user can do about it; it is read only if it is a regular
file of a sensible size. `json_text`, `yaml_text`, `tables`, `arrays` and `images` make values of it, within limits of
depth, number and size; `schema` checks their form. `writing` is the way out: whole or not at all.
"""
