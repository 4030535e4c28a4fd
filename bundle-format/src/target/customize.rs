//! Which of the matching customizations apply.
//!
//! Owns the two modes. Must not know what a customization changes; `options::merge` does. Start at
//! [`Mode`].

use crate::api::bundle::{BundleSpec, TargetCustomizationMode};

/// How customizations combine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The first that matches, in place of the target's options.
    FirstMatch,
    /// All that match, merged in order onto the target's options.
    AllMatches,
}

impl Mode {
    pub(crate) fn of_spec(spec: &BundleSpec) -> Self {
        match spec.target_customization_mode {
            Some(TargetCustomizationMode::AllMatches) => Self::AllMatches,
            Some(TargetCustomizationMode::FirstMatch) | None => Self::FirstMatch,
        }
    }

    /// The customizations that apply, out of those that match.
    pub(crate) fn choose(self, mut matching: impl Iterator<Item = usize>) -> Vec<usize> {
        match self {
            Self::FirstMatch => matching.next().into_iter().collect(),
            Self::AllMatches => matching.collect(),
        }
    }
}
