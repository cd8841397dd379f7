# Stagedoor's commands. `just` alone lists them. All of them work offline once `just setup` has run.

export UV_PYTHON_DOWNLOADS := "never"

python := ".venv/bin/python"

# what .venv is made from, and what .database-venv is
requirements := "requirements-dev.txt"
database_requirements := "sandbox/database-requirements.txt"

_default:
    @just --list --unsorted

# Run everything on this machine: http://localhost:3500
[no-exit-message]
up: setup
    @exec {{ python }} -m sandbox.up

# Fill a running marketplace with sample tickets
[no-exit-message]
demo: setup
    @exec {{ python }} -m sandbox.demo

# Install what is missing; at once when nothing has changed
setup: (_environment ".venv" ">=3.11" requirements) (_environment ".database-venv" ">=3.10,<3.14" database_requirements)

# The embedded database has wheels for CPython 3.10 to 3.13, so the two may be of different Pythons.
_environment folder versions file:
    #!/usr/bin/env bash
    set -euo pipefail
    if cmp -s '{{ file }}' '{{ folder }}/installed' && '{{ folder }}/bin/python' -c '' 2>/dev/null; then
        exit
    fi
    if ! command -v uv >/dev/null; then
        echo 'uv is missing. Install it with: pip install uv' >&2
        exit 1
    fi
    echo 'Installing {{ file }} into {{ folder }} ...'
    if ! '{{ folder }}/bin/python' -c '' 2>/dev/null; then
        uv venv --quiet --clear --python '{{ versions }}' '{{ folder }}'
    fi
    uv pip sync --quiet --compile-bytecode --require-hashes --python '{{ folder }}' '{{ file }}'
    cp '{{ file }}' '{{ folder }}/installed'

# Make sure that there is a Chromium for the browser tests
browser: setup
    #!/usr/bin/env bash
    set -euo pipefail
    if [ -x /usr/bin/chromium ] || {{ python }} -c '
    import pathlib, sys
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        sys.exit(not pathlib.Path(p.chromium.executable_path).exists())
    '; then
        exit
    fi
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        as_root=(sudo -n)
    fi
    if command -v apt-get >/dev/null; then
        echo 'Installing chromium with apt-get ...'
        # Once more if a mirror was away for a moment, or had its lists changed meanwhile.
        for wait in 0 20; do
            sleep "$wait"
            "${as_root[@]}" apt-get update -qq || true
            if "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq -o Acquire::Retries=3 chromium </dev/null; then
                exit
            fi
        done
    fi
    echo 'The browser tests need a Chromium, and none could be installed. Do one of:' >&2
    echo '  {{ python }} -m playwright install --with-deps chromium' >&2
    echo '  sudo apt-get install chromium   (so that there is a /usr/bin/chromium)' >&2
    exit 1

# Run all tests: `just test`, or some: `just test tests/runner -k stops`
[no-exit-message]
test *ARGS: setup browser
    @exec {{ python }} -m pytest -n auto --dist loadfile --no-loadscope-reorder {{ ARGS }}

# Run the tests in a browser
[no-exit-message]
e2e *ARGS: setup browser
    @exec {{ python }} -m pytest e2e {{ ARGS }}

# Take a picture of every page in its states, for docs/tour.md: `just shots`, or some of them: `just shots browse sell`
[no-exit-message]
shots *ARGS: setup browser
    @exec {{ python }} -m e2e.shots {{ ARGS }}

# Measure what a visitor on a slow phone connection waits for: `just speed --visits 3`
[no-exit-message]
speed *ARGS: setup browser
    @exec {{ python }} -m e2e.speed {{ ARGS }}

# Check format, style and types
[no-exit-message]
lint: setup
    @.venv/bin/ruff format --check .
    @.venv/bin/ruff check .
    @.venv/bin/mypy .

# Look after dead letters: list, show, replay, drop
[no-exit-message]
dead *ARGS="list": setup
    @exec {{ python }} -m streams.dead {{ ARGS }}

# Put all that tickets, orders or payments owns on the bus again, for a listener that is new
[no-exit-message]
republish SERVICE: setup
    @exec {{ python }} -m streams.republish {{ SERVICE }}

# Save all databases and streams in a new folder, also while people buy
[no-exit-message]
backup FOLDER: setup
    @exec {{ python }} -m sandbox.offline streams.backup.save '{{ FOLDER }}'

# Put a backup back while no service runs: `just restore FOLDER --replace` loses what is there
[no-exit-message]
restore FOLDER *ARGS: setup
    @exec {{ python }} -m sandbox.offline streams.backup.restore '{{ FOLDER }}' {{ ARGS }}

# Build what orders or payments knows of others anew from the stream
[no-exit-message]
rebuild SERVICE: setup
    @exec {{ python }} -m streams.rebuild {{ SERVICE }}

# What happened to an order, event by event
[no-exit-message]
trace ORDER: setup
    @exec {{ python }} -m streams.trace {{ ORDER }}

# Compare what orders, payments and Stripe have of each order's money: `just books --only-differences`
[no-exit-message]
books *ARGS: setup
    @exec {{ python }} -m streams.books {{ ARGS }}

# Give a buyer their money back; with --relist the ticket goes on sale again
[no-exit-message]
refund ORDER *ARGS: setup
    @exec {{ python }} -m streams.refund {{ ORDER }} {{ ARGS }}

# Buy 500 tickets at once on a marketplace of its own, with faults and crashes, and check the books
[no-exit-message]
storm *ARGS: setup
    @exec {{ python }} -m sandbox.storm {{ ARGS }}

# Measure whether the Stripe sandbox stays fast as it fills up: `just bench 1000` for fewer payments
[no-exit-message]
bench *ARGS: setup
    @exec {{ python }} -m sandbox.bench {{ ARGS }}

# Break a marketplace in every way and check that nothing was lost or happened twice: `just chaos --minutes 5 --seed 3`
[no-exit-message]
chaos *ARGS: setup
    @exec {{ python }} -m tests.chaos {{ ARGS }}

# Create or update the JetStream streams and consumers; `just up` does it too
[no-exit-message]
provision: setup
    @exec {{ python }} -m streams.topology

# Remove all data that is kept between runs
[no-exit-message]
reset: setup
    @exec {{ python }} -m sandbox.reset

# Choose the newest versions that the requirements allow, with their hashes
lock:
    uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url pyproject.toml -o requirements.txt
    uv pip compile --quiet --upgrade --universal --generate-hashes pyproject.toml --group dev -c requirements.txt -o requirements-dev.txt
    uv pip compile --quiet --upgrade --universal --generate-hashes sandbox/database-requirements.in -o sandbox/database-requirements.txt

# Let anything happen to many purchases, in any order, and look whether the books come out right: `just saga 1000`
[no-exit-message]
saga *ARGS: setup
    @exec {{ python }} -m tests.saga {{ ARGS }}

# Ask a marketplace for three times what it can do, and then by a thousand clients that never finish: `just overload --seconds 10`
[no-exit-message]
overload *ARGS: setup
    @exec {{ python }} -m tests.overload {{ ARGS }}

# Send bad input to every service, form and listener at length: `just fuzz --examples 200 --seed 7`
[no-exit-message]
fuzz *ARGS: setup
    @exec {{ python }} -m tests.fuzz {{ ARGS }}
