# The few things people do. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run test lint ui gallery

help:  ## list these
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 10

run:  ## the default experiment, tracked, with its report
	python -m pipeline run linear_vs_relu

test:  ## the whole test suite
	pytest

lint:  ## ruff and mypy
	ruff check . && ruff format --check . && mypy

gallery:  ## the pictures that the README shows, made anew
	python -m pipeline run linear_vs_relu
	cp reports/linear_vs_relu/figures/headline.png reports/gallery/linear_vs_relu.png
	cd reports/linear_vs_relu/figures && cp forest.png moons_disagreement.png moons_thresholds.png moons_tuning.png \
	  ../../gallery/
	python -c "from pipeline.figures.activations import draw_activations; \
	  draw_activations().savefig('reports/gallery/activations.png', dpi=110)"

ui:  ## the MLflow UI on the runs made here
	mlflow ui --backend-store-uri sqlite:///mlflow.db
