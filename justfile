# The recipes that CI runs, by name. `just --list` shows them.

# Everything CI checks, the end-to-end suite included.
ci:
    .ci/run

# Format, purity, lints and tests, without the end-to-end suite.
check:
    .ci/run quick

# The tests that need cargo and git only.
test:
    cargo test --workspace

# The story on real API servers (root, Go toolchain).
e2e:
    cargo xtask e2e

# Figures: latency, API writes, memory.
bench:
    cargo xtask bench

# `fleet template` beside `helm template`: times and memory on the chart corpus.
bench-helm:
    cargo xtask bench-helm

# Figures of the embedded API server, beside the real one.
bench-hub:
    cargo xtask bench-hub

# The long ones: kill matrix, outages, many seeds.
nightly:
    cargo xtask nightly

# Regenerate charts/fleet-crd from the Rust types.
crds:
    cargo xtask crds

# Ten minutes of one fuzz target (nightly toolchain, cargo-fuzz): yaml, template, archive, values, patch.
fuzz target:
    cargo +nightly fuzz run {{target}} -- -max_total_time=600 -rss_limit_mb=2048 -timeout=10
