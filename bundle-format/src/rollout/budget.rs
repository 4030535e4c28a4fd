//! Limits written as a number or a percentage.
//!
//! Owns how Fleet 0.16 turns them into counts. Must not know what is counted. Start at
//! [`resolve_limit`].

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::error::{Classify, ErrorClass};

/// A limit that is neither a number nor a percentage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid {field}, must be int or percentage (ending with %): {found}")]
pub struct LimitError {
    /// The field of the rollout strategy.
    pub field: &'static str,
    /// Its value.
    pub found: String,
}

impl Classify for LimitError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// The count that a limit means out of `total`.
///
/// A percentage is rounded down, but is at least 1 and at most `total`. A number is cut to
/// `0..=total`; one written as text is not cut. Without anything to count the answer is 1.
///
/// # Errors
/// Text that is neither a positive number nor a percentage.
pub(crate) fn resolve_limit(
    total: usize,
    limit: &IntOrString,
    field: &'static str,
) -> Result<usize, LimitError> {
    if total == 0 {
        return Ok(1);
    }
    let text = match limit {
        IntOrString::Int(number) => {
            return Ok(usize::try_from(*number).unwrap_or(0).min(total));
        }
        IntOrString::String(text) => text,
    };
    if let Some(count) = text.parse::<usize>().ok().filter(|count| *count > 0) {
        return Ok(count);
    }
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match percent.filter(|percent| percent.is_finite()) {
        Some(percent) if percent <= 0.0 => Ok(1),
        Some(percent) => {
            // Cut before the division, as the reference does: 3 × 33.4 % is 100 / 100.
            let share = (total as f64 * percent) as usize / 100;
            Ok(share.clamp(1, total))
        }
        None => Err(LimitError { field, found: text.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_counted_as_in_the_reference() {
        // Rules of fleet-flow 3.5.
        let text = |text: &str| IntOrString::String(text.to_owned());
        for (total, limit, expected) in [
            (0, IntOrString::Int(5), 1),
            (3, IntOrString::Int(5), 3),
            (3, IntOrString::Int(0), 0),
            (3, IntOrString::Int(-2), 0),
            (3, text("5"), 5),
            (10, text("25%"), 2),
            (3, text("10%"), 1),
            (3, text("33.4%"), 1),
            (3, text("0%"), 1),
            (3, text("-5%"), 1),
            (3, text("300%"), 3),
        ] {
            assert_eq!(resolve_limit(total, &limit, "maxUnavailable"), Ok(expected), "{limit:?}");
        }
        for bad in ["abc", "", "%", "0", "-3", "NaN%", "inf%"] {
            let error = resolve_limit(3, &text(bad), "maxUnavailable").expect_err(bad);
            assert!(error.to_string().ends_with(&format!("(ending with %): {bad}")), "{error}");
        }
    }
}
