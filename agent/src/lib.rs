//! BundleDeployments to objects in the cluster.
