"""The ablations of the Faster Diffusion paper as data: what each table ran, and what it published.

`fdplug compare --suite table5` runs one of them, on the embedded model or on a real one, and puts the published figures
beside its own. Source: arXiv 2312.09608v2, the tables of the same numbers.
"""
