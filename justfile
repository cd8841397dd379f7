# Stagedoor's commands; `just` without arguments lists them. After `just setup` they work offline, except that
# `just lint` and the tests download tools on their first run.

# uv uses a suitable Python of this machine, and downloads one only if there is none.
export UV_PYTHON_DOWNLOADS := env("UV_PYTHON_DOWNLOADS", "automatic")

python := ".venv/bin/python"

# The embedded database has wheels up to CPython 3.13. Everything else also runs on 3.14.
python_versions := ">=3.11,<3.14"

# The linters of JavaScript and CSS
lint_packages := "@biomejs/biome@2.6.8 stylelint@17.16.0 stylelint-config-recommended@18.0.0"

_default:
    @just --list --unsorted

# Run everything on this machine: http://localhost:3500
[group("run")]
[no-exit-message]
up: _runtime
    @exec {{ python }} -m sandbox.up

# Fill a running marketplace with sample tickets and users
[group("run")]
[no-exit-message]
demo: _runtime
    @exec {{ python }} -m sandbox.demo

# Delete all data of the marketplace on this machine
[group("run")]
[no-exit-message]
reset: _runtime
    @exec {{ python }} -m sandbox.reset

# Install everything, including the tools for tests and checks; quick when nothing has changed
[group("develop")]
setup: (_environment ".venv" python_versions "requirements/dev.txt") _database

# Install what `up` and the operator commands need. An environment with the development tools is left unchanged.
_runtime: (_environment ".venv" python_versions "requirements/embedded.txt" "requirements/dev.txt") _database

_database: (_environment ".database-venv" python_versions "requirements/database.txt")

_environment folder versions lock larger_lock=lock:
    #!/usr/bin/env bash
    set -euo pipefail
    if '{{ folder }}/bin/python' -c '' 2>/dev/null; then
        for lock in '{{ lock }}' '{{ larger_lock }}'; do
            if cmp -s "$lock" '{{ folder }}/installed'; then
                exit
            fi
        done
    fi
    if ! command -v uv >/dev/null; then
        echo 'uv is missing. Run ./dev instead of just, or install it: pip install uv' >&2
        exit 1
    fi
    echo 'Installing {{ lock }} into {{ folder }} ...'
    if ! '{{ folder }}/bin/python' -c '' 2>/dev/null; then
        if ! uv venv --quiet --clear --python '{{ versions }}' '{{ folder }}'; then
            echo 'Stagedoor needs Python {{ versions }} for {{ folder }}, and uv could neither find nor download one.' >&2
            exit 1
        fi
    fi
    uv pip sync --quiet --compile-bytecode --require-hashes --python '{{ folder }}' '{{ lock }}'
    cp '{{ lock }}' '{{ folder }}/installed'

# Run all tests, or some: `just test tests/unit -k refund`; in random order: `just test -p randomly`
[group("develop")]
[no-exit-message]
test *ARGS: setup browser
    @exec {{ python }} -m pytest -n auto --dist loadfile --no-loadscope-reorder {{ ARGS }}

# Run tests with another version of Python, in an environment of its own: `just test-on 3.13 tests/unit`
[group("develop")]
[no-exit-message]
test-on VERSION *ARGS: setup browser (_environment ".venv-" + VERSION VERSION "requirements/dev.txt")
    @exec '.venv-{{ VERSION }}/bin/python' -m pytest -n auto --dist loadfile --no-loadscope-reorder {{ ARGS }}

# Restart and kill two instances of everything one by one under load: some minutes, on a machine without other work
[group("develop")]
[no-exit-message]
replicas: setup
    @exec {{ python }} -m pytest tests/resilience/chaos/instances.py

# Build the image without a container engine, and buy a ticket on it: some minutes, as root, on Debian or Ubuntu
[group("develop")]
[no-exit-message]
image-check: setup
    @exec {{ python }} -m tests.system.image

# Run the browser tests, keeping a trace of each failure: `just e2e --headed --slowmo 300`
[group("develop")]
[no-exit-message]
e2e *ARGS: setup browser
    @exec {{ python }} -m pytest e2e {{ ARGS }}

# Buy a ticket and watch live updates in Firefox and WebKit, some minutes: all, or `just other-browsers -k firefox`
[group("develop")]
[no-exit-message]
other-browsers *ARGS: setup _other-browsers
    @exec {{ python }} -m pytest e2e/other_browsers/scenarios.py {{ ARGS }}

# Install Firefox and WebKit if they are missing. The tests of a browser that can't be installed fail and say so.
_other-browsers:
    #!/usr/bin/env bash
    set -euo pipefail
    if { command -v firefox-esr || command -v firefox; } >/dev/null && command -v WebKitWebDriver xvfb-run >/dev/null &&
        /usr/bin/python3 -c 'import gi; gi.require_version("WebKit2", "4.1")' 2>/dev/null; then
        exit
    fi
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        as_root=(sudo -n)
    fi
    if command -v apt-get >/dev/null; then
        "${as_root[@]}" apt-get update -qq || true
        # WebKit is missing in some distributions, which should not keep Firefox from being tested.
        for packages in firefox-esr 'webkit2gtk-driver gir1.2-webkit2-4.1 python3-gi xvfb xauth'; do
            echo "Installing $packages with apt-get ..."
            # shellcheck disable=SC2086 # several packages
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq -o Acquire::Retries=3 $packages </dev/null || true
        done
    fi

# Measure which code the tests run, in all processes: `just coverage`, `just coverage tests/unit`
[group("develop")]
[no-exit-message]
coverage *ARGS: setup browser
    @rm -rf .coverage && mkdir .coverage
    {{ python }} -m coverage run -m pytest -n auto --dist loadfile --no-loadscope-reorder {{ ARGS }}
    @{{ python }} -m coverage combine --quiet
    @{{ python }} -m coverage html --quiet --directory .coverage/html
    @{{ python }} -m coverage report

# Check format, style and types of Python, JavaScript, CSS and templates
[group("develop")]
lint: _lint-python _lint-front-end

[no-exit-message]
_lint-python: setup
    @.venv/bin/ruff format --check .
    @.venv/bin/ruff check .
    @.venv/bin/mypy .

[no-exit-message]
_lint-front-end: _lint-tools
    @.lint/node_modules/.bin/biome check --error-on-warnings biome.json .stylelintrc.json static/js static/css static/console static/docs
    @.lint/node_modules/.bin/stylelint --max-warnings 0 --config-basedir .lint 'static/css/**/*.css' 'static/console/*.css' 'static/docs/*.css'
    @.lint/venv/bin/djlint --quiet --lint web/templates ops/console/templates sandbox/mailbox/templates

# Install the tools that only `just lint` needs, unless they are installed
_lint-tools: (_environment ".lint/venv" python_versions "requirements/lint.txt")
    #!/usr/bin/env bash
    set -euo pipefail
    if [ "$(cat .lint/installed 2>/dev/null)" = '{{ lint_packages }}' ] && [ -x .lint/node_modules/.bin/biome ]; then
        exit
    fi
    if ! command -v npm >/dev/null; then
        echo 'npm is missing. Install Node.js 20.19 or later, which includes it.' >&2
        exit 1
    fi
    echo 'Installing {{ lint_packages }} into .lint ...'
    npm install --prefix .lint --ignore-scripts --no-save --no-package-lock --no-audit --no-fund --silent {{ lint_packages }}
    echo '{{ lint_packages }}' > .lint/installed

# Look up known vulnerabilities of all dependencies and vendored files, and write SBOMs to .audit/report
[group("develop")]
[no-exit-message]
audit-dependencies: (_environment ".audit/venv" python_versions "requirements/audit.txt")
    @exec .audit/venv/bin/python .ci/audit.py

# Install Chromium for the browser tests if there is none
[group("develop")]
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
        # Try twice: a mirror may be unavailable for a moment, or may be changing its lists.
        for wait in 0 20; do
            sleep "$wait"
            "${as_root[@]}" apt-get update -qq || true
            if "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
                apt-get install -y -qq -o Acquire::Retries=3 chromium </dev/null && [ -x /usr/bin/chromium ]; then
                exit
            fi
        done
    fi
    # For other systems, for Ubuntu (whose chromium is a snap), and for users without sudo
    if {{ python }} -m playwright install chromium; then
        exit
    fi
    echo 'The browser tests need a Chromium, and none could be installed. Do one of:' >&2
    echo '  {{ python }} -m playwright install --with-deps chromium' >&2
    echo '  sudo apt-get install chromium   (so that there is a /usr/bin/chromium)' >&2
    exit 1

# Write the lock files, keeping the locked versions; `just lock --upgrade` chooses the newest allowed
[group("develop")]
lock *ARGS:
    #!/usr/bin/env bash
    set -euo pipefail
    compile() {
        uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
            --custom-compile-command 'just lock' {{ ARGS }} "$@"
    }
    cd requirements
    compile ../pyproject.toml -o runtime.txt
    compile ../pyproject.toml --group ../pyproject.toml:embedded -c runtime.txt -o embedded.txt
    compile ../pyproject.toml --group ../pyproject.toml:dev -c embedded.txt -o dev.txt
    compile --python-version 3.11 database.in -o database.txt
    compile --python-version 3.11 lint.in -o lint.txt
    compile tools.in -o tools.txt
    compile --python-version 3.11 audit.in -o audit.txt
    compile --python-version 3.11 clients.in -o clients.txt
    compile --python-version 3.11 kubernetes.in -o kubernetes.txt

# Write the AsyncAPI document of the events and the OpenAPI document of the HTTP API to docs/
[group("develop")]
[no-exit-message]
docs: setup
    @{{ python }} -m ops.api_documents
    @{{ python }} -m sandbox.openapi

# Collect the texts of pages and emails, and add the new ones to kit/catalogues to be translated
[group("develop")]
[no-exit-message]
translations: setup
    #!/usr/bin/env bash
    set -euo pipefail
    texts=$(mktemp)
    trap 'rm "$texts"' EXIT
    babel=('{{ python }}' -m babel.messages.frontend -q)
    "${babel[@]}" extract -F pyproject.toml -k N_ --sort-by-file --add-location=file --width=110 -o "$texts" \
        web services kit contracts
    for catalogue in kit/catalogues/*.po; do
        "${babel[@]}" update -i "$texts" -l "$(basename "$catalogue" .po)" -o "$catalogue" --width=110 \
            --no-fuzzy-matching --ignore-obsolete --omit-header
    done

# Write the current events and indexes to contracts/released, when a version is released
[group("develop")]
[no-exit-message]
release-contracts: setup
    @exec {{ python }} -m ops.releases

# Print the address with which developers receive events from NATS
[group("operate")]
[no-exit-message]
developer-url: _runtime
    @exec {{ python }} -m ops developer-url

# Print the history of an order, event by event
[group("operate")]
[no-exit-message]
[positional-arguments]
trace ORDER: _runtime
    @exec {{ python }} -m ops trace "$@"

# Show all about an order, and what is missing: by id, page, code, ticket, Stripe's id, email address or trace
[group("operate")]
[no-exit-message]
show WHAT: _runtime
    @exec {{ python }} -m ops show {{ quote(WHAT) }}

# List what lasts too long, and what is awaited: `just stuck --watch 30`
[group("operate")]
[no-exit-message]
stuck *ARGS: _runtime
    @exec {{ python }} -m ops stuck {{ ARGS }}

# List, show, replay or drop dead letters
[group("operate")]
[no-exit-message]
dead *ARGS="list": _runtime
    @exec {{ python }} -m ops dead {{ ARGS }}

# Compare what orders, payments and Stripe record about each order: `just audit --only-differences`
[group("operate")]
[no-exit-message]
audit *ARGS: _runtime
    @exec {{ python }} -m ops audit {{ ARGS }}

# Refund an order; with --relist, also put its ticket on sale again
[group("operate")]
[no-exit-message]
[positional-arguments]
refund ORDER *ARGS: _runtime
    @exec {{ python }} -m ops refund "$@"

# Cancel an unpaid order: `just cancel ORDER --reason "…"`
[group("operate")]
[no-exit-message]
[positional-arguments]
cancel ORDER *ARGS: _runtime
    @exec {{ python }} -m ops cancel "$@"

# Give the buyer of an order more time to pay: `just extend ORDER --minutes 30`
[group("operate")]
[no-exit-message]
[positional-arguments]
extend ORDER *ARGS: _runtime
    @exec {{ python }} -m ops extend "$@"

# Take a ticket off sale for good: `just withdraw TICKET --reason "…"`
[group("operate")]
[no-exit-message]
[positional-arguments]
withdraw TICKET *ARGS: _runtime
    @exec {{ python }} -m ops withdraw "$@"

# Decide on a reported problem: `just decide-problem ORDER partial-refund --amount 5.00 --reason "…"`
[group("operate")]
[no-exit-message]
[positional-arguments]
decide-problem ORDER DECISION *ARGS: _runtime
    @exec {{ python }} -m ops decide-problem "$@"

# Decide on the reports of a listing: `just decide-listing TICKET remove --reason "…"`
[group("operate")]
[no-exit-message]
[positional-arguments]
decide-listing TICKET DECISION *ARGS: _runtime
    @exec {{ python }} -m ops decide-listing "$@"

# Give up what the seller of an order owes: `just write-off ORDER --reason "…"`
[group("operate")]
[no-exit-message]
[positional-arguments]
write-off ORDER *ARGS: _runtime
    @exec {{ python }} -m ops write-off "$@"

# Merge two events that are the same: `just merge-shows EVENT OTHER --reason "…"`
[group("operate")]
[no-exit-message]
[positional-arguments]
merge-shows EVENT OTHER *ARGS: _runtime
    @exec {{ python }} -m ops merge-shows "$@"

# Correct an event: `just correct-show EVENT --set venue=Tempodrom --reason "…"`
[group("operate")]
[no-exit-message]
[positional-arguments]
correct-show EVENT *ARGS: _runtime
    @exec {{ python }} -m ops correct-show "$@"

# Publish the current state of all tickets, orders or payments again, for a new subscriber
[group("operate")]
[no-exit-message]
[positional-arguments]
republish SERVICE: _runtime
    @exec {{ python }} -m ops republish "$@"

# Rebuild the replicas that orders or payments keeps, from the stream; says why that is impossible for payouts
[group("operate")]
[no-exit-message]
[positional-arguments]
rebuild SERVICE: _runtime
    @exec {{ python }} -m ops rebuild "$@"

# Let somebody sign in at the console, or no longer: `just operator grant NAME`, `just operator revoke NAME`
[group("operate")]
[no-exit-message]
[positional-arguments]
operator *ARGS="list": _runtime
    @exec {{ python }} -m ops operator "$@"

# Keep a person from signing in, and end all sessions: `just suspend ada@example.com --reason "…"`
[group("operate")]
[no-exit-message]
[positional-arguments]
suspend PERSON *ARGS: _runtime
    @exec {{ python }} -m ops suspend "$@"

# Let a suspended person sign in again
[group("operate")]
[no-exit-message]
[positional-arguments]
lift PERSON: _runtime
    @exec {{ python }} -m ops lift "$@"

# End all sessions of a person, who can sign in again
[group("operate")]
[no-exit-message]
[positional-arguments]
end-sessions PERSON: _runtime
    @exec {{ python }} -m ops end-sessions "$@"

# Create or update the JetStream streams and consumers; `just up` does it too
[group("operate")]
[no-exit-message]
provision: _runtime
    @exec {{ python }} -m ops provision

# Create the indexes that this version needs; --contract drops those that only older versions need; `just up` creates them too
[group("operate")]
[no-exit-message]
migrate *ARGS: _runtime
    @exec {{ python }} -m ops migrate {{ ARGS }}

# Save all databases and streams to a new folder while the marketplace runs
[group("operate")]
[no-exit-message]
backup FOLDER: _runtime
    @exec {{ python }} -m sandbox.offline backup '{{ FOLDER }}'

# Restore a backup while no service runs; --replace deletes the existing data
[group("operate")]
[no-exit-message]
restore FOLDER *ARGS: _runtime
    @exec {{ python }} -m sandbox.offline restore '{{ FOLDER }}' {{ ARGS }}

# Inject faults while people buy and sell, and check every guarantee: `just chaos --minutes 5 --seed 3`
[group("resilience")]
[no-exit-message]
chaos *ARGS: setup
    @exec {{ python }} -m tests.resilience.chaos {{ ARGS }}

# Run random purchases event by event in random orders, and check the outcome: `just saga 1000`
[group("resilience")]
[no-exit-message]
saga *ARGS: setup
    @exec {{ python }} -m tests.resilience.saga {{ ARGS }}

# Send malformed input to every service, form and subscriber: `just fuzz --examples 200 --seed 7`
[group("resilience")]
[no-exit-message]
fuzz *ARGS: setup
    @exec {{ python }} -m tests.resilience.fuzz {{ ARGS }}

# Send three times the load that a marketplace can handle, then requests that never end: `just overload --seconds 10`
[group("resilience")]
[no-exit-message]
overload *ARGS: setup
    @exec {{ python }} -m tests.resilience.overload {{ ARGS }}

# Attack a marketplace while visitors use it: all attacks, or some: `just abuse sign-ins-above-the-limit`
[group("resilience")]
[no-exit-message]
abuse *ARGS: setup
    @exec {{ python }} -m tests.resilience.abuse {{ ARGS }}

# Let people wait for tickets of an event, and check who is told of them and when: `just waiting --people 50`
[group("resilience")]
[no-exit-message]
waiting *ARGS: setup
    @exec {{ python }} -m tests.resilience.waiting {{ ARGS }}

# Measure speed, CPU and memory: all workloads, or some: `just bench landing purchase --json before.json`
[group("measure")]
[no-exit-message]
bench *ARGS: setup _wrk
    @exec {{ python }} -m bench {{ ARGS }}

# Write a flame graph of a process while a workload runs: `just profile landing --process tickets`
[group("measure")]
[no-exit-message]
profile *ARGS: setup _wrk
    @exec {{ python }} -m bench.profile {{ ARGS }}

# Load a marketplace for an hour and measure whether memory grows: `just soak --minutes 10`
[group("measure")]
[no-exit-message]
soak *ARGS: setup
    @exec {{ python }} -m bench.soak {{ ARGS }}

# Install the load generator wrk if there is none
_wrk:
    #!/usr/bin/env bash
    set -euo pipefail
    if command -v wrk >/dev/null; then
        exit
    fi
    as_root=()
    if [ "$(id -u)" != 0 ]; then
        as_root=(sudo -n)
    fi
    if command -v apt-get >/dev/null; then
        echo 'Installing wrk with apt-get ...'
        "${as_root[@]}" apt-get update -qq || true
        if "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq -o Acquire::Retries=3 wrk </dev/null; then
            exit
        fi
    fi
    echo 'The benchmarks need wrk. Install it, for example: sudo apt-get install wrk, or brew install wrk' >&2
    exit 1

# Make purchases with refunds, disputes, late files and payouts, and audit them: `just ledger --purchases 50`
[group("measure")]
[no-exit-message]
ledger *ARGS: setup
    @exec {{ python }} -m bench.ledger {{ ARGS }}

# Measure how long a visitor on a slow phone connection waits: `just speed --visits 3`
[group("measure")]
[no-exit-message]
speed *ARGS: setup browser
    @exec {{ python }} -m e2e.speed {{ ARGS }}

# Measure and check ten pages as Lighthouse does, on a phone with slow 4G and a slow CPU: `just page-report --visits 3`
[group("measure")]
[no-exit-message]
page-report *ARGS: setup browser
    @exec {{ python }} -m e2e.page_report {{ ARGS }}

# Take the screenshots for docs/tour.md: all, or some: `just shots browse sell`
[group("documentation")]
[no-exit-message]
shots *ARGS: setup browser
    @exec {{ python }} -m e2e.shots {{ ARGS }}

# Record docs/animation.webp, in which two buyers want the same ticket
[group("documentation")]
[no-exit-message]
animation: setup browser
    @exec {{ python }} -m e2e.animation
