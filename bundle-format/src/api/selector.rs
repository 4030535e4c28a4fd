//! Label selectors as a struct whose JSON has Go's field order (it is part of deployment ids).
//!
//! Owns the data only; `target::selector` decides what matches.

use std::collections::BTreeMap;

go_struct! {
    /// Selects objects by their labels. Empty selects everything; absent selects nothing.
    pub struct LabelSelector {
        /// Labels that must be present with exactly these values.
        pub match_labels: BTreeMap<String, String>,
        /// Conditions that must all hold.
        pub match_expressions: Vec<LabelSelectorRequirement>,
    }
}

go_struct! {
    /// One condition on one label.
    pub struct LabelSelectorRequirement {
        /// Label key.
        always pub key: String,
        /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
        always pub operator: String,
        /// Values for `In` and `NotIn`; empty otherwise.
        pub values: Vec<String>,
    }
}
