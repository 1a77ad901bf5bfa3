"""The options of every command, a module each, with the parser that reads them; nothing here waits for torch.

`fdplug.cli` imports a command's work, the module of the same name in `fdplug.commands`, when its options are read: help
and every mistake on the command line are answered at once.
"""
