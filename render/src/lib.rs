//! Manifest and options to objects: Helm charts, kustomizations, raw YAML.
