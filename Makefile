# Every task sets up `.venv` by itself; without make, call `python3 dev.py TASK`.
PYTHON ?= python3

.PHONY: demo test test-slow families lint docs bench setup
demo test test-slow families lint docs bench setup:
	$(PYTHON) dev.py $@
