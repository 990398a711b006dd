# The few things people do. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run test coverage lint ui gallery reference

help:  ## list these
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run:  ## the default experiment, tracked, with its report
	python -m pipeline run linear_vs_relu

test:  ## the whole test suite
	pytest -n 4 --dist worksteal

coverage:  ## lines and branches that the test suite reaches, by whichever process
	coverage erase
	coverage run -m pytest -n 4 --dist worksteal
	coverage combine --quiet
	coverage report

lint:  ## ruff and mypy
	ruff check . && ruff format --check . && mypy

gallery:  ## the pictures that the README shows, made anew
	python -m pipeline run linear_vs_relu
	python -m reports.gallery.make

reference:  ## docs/reference.md and experiments/schema.json, from the specs
	python docs/make_reference.py

ui:  ## the MLflow UI on the runs made here
	mlflow ui --backend-store-uri sqlite:///mlflow.db
