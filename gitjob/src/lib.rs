//! GitRepo sources to Bundles.
