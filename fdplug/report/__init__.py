"""One self-contained page about a comparison, a blind vote on its pictures, and what the votes say.

`folder` reads what `fdplug compare` wrote; `gallery`, `charts`, `timeline` and `costs` each make one section's data;
`page` fills the templates of the folder `page/`. `study` chooses the pairs of the vote, `votes` reads what voters
exported, `tally` counts.
"""
