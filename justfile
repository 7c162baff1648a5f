# Recipes for development; .ci/run and the workflows call the same ones. `just` alone lists them.
# Needs an environment with '.[dev]', see CONTRIBUTING.md.

_list:
    @just --list --unsorted

# Format, and fix everything that ruff can
fmt:
    ruff format .
    ruff check --fix .

# Style, formatting, import layers
lint:
    ruff check .
    ruff format --check .
    lint-imports

# Types
type:
    pyright

# All tests; OPTIONS are pytest's
test *OPTIONS:
    bash tests/run.sh {{OPTIONS}}

# The tests that `just test` leaves out, in two minutes; OPTIONS are pytest's
slow *OPTIONS:
    MARK=slow bash tests/run.sh {{OPTIONS}}

# Tests without root, display and servers, in two minutes
fast *OPTIONS:
    bash tests/run.sh --fast {{OPTIONS}}

# All tests, and the coverage they must reach
cov:
    bash tests/run.sh --cov --cov-report=term:skip-covered --cov-fail-under=90 -q

# INT8 as on a CPU with AVX2 alone, whatever this one has
avx2:
    ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 \
        python -m pytest -q tests/inference/test_numerics.py -k "equals_eager_on or rounding_to_8_bits"

# The site, into build/site; warnings are errors
docs:
    NO_MKDOCS_2_WARNING=1 mkdocs build --strict --site-dir build/site

# The site on http://127.0.0.1:8000, kept up to date
serve:
    NO_MKDOCS_2_WARNING=1 mkdocs serve

# Build the wheel, install it outside the checkout, and run it
wheel:
    bash tests/wheel.sh

# The README's demo, and a check of its results
demo:
    bash samples/demo.sh
    python tests/samples/check_demo.py demo

# Random faults for some minutes
soak MINUTES="3" SEED="1":
    python -m tests.faults.soak --minutes {{MINUTES}} --seed {{SEED}}

# Random inputs to everything that reads untrusted data, for some minutes
fuzz MINUTES="5" *OPTIONS:
    python -m tests.faults.fuzz --minutes {{MINUTES}} {{OPTIONS}}

# Random faults for a service of eight cameras, for some minutes
soak-serve MINUTES="2" SEED="1":
    python -m tests.serve.soak --minutes {{MINUTES}} --seed {{SEED}}
