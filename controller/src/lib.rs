//! Bundles to BundleDeployments; clusters and their registration.
