//! Compares the patches with what kube-apiserver 1.36 was recorded to answer
//! (`tests/golden/record.py`), and checks what must hold for any input.
//!
//! `PATCH_GOLDEN=FILE cargo test -p patch` replays a recording made elsewhere.

mod properties;
mod replay;
