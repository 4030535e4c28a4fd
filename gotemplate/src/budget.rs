//! How much a render may cost, counted once for everything it starts.
//!
//! Owns the counters for steps, nesting and output. Knows nothing of templates. Start at
//! [`Budget`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The bounds of one render. The defaults are those of `ARCHITECTURE.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Evaluated pipelines and function calls.
    pub steps: u64,
    /// Templates that may be open at once (`include`, `template`, `tpl`).
    pub depth: usize,
    /// Bytes written by all templates together, nested ones included.
    pub output_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 10_000_000, depth: 1_000, output_bytes: 64 << 20 }
    }
}

/// A bound that a render passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Exceeded {
    /// More steps than allowed.
    #[error("the template takes more than {0} steps (bound: steps)")]
    Steps(u64),
    /// Templates nested deeper than allowed.
    #[error("templates are nested deeper than {0} (bound: depth)")]
    Depth(usize),
    /// More output than allowed.
    #[error("the template writes more than {0} bytes (bound: output bytes)")]
    Output(u64),
}

/// Counts what a render and every render nested in it use up.
#[derive(Debug, Default)]
pub struct Budget {
    limits: Limits,
    steps: AtomicU64,
    depth: AtomicUsize,
    output_bytes: AtomicU64,
}

impl Budget {
    /// A full budget.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Takes `count` steps.
    ///
    /// # Errors
    /// [`Exceeded::Steps`] when they are used up.
    pub fn take_steps(&self, count: u64) -> Result<(), Exceeded> {
        let used = self.steps.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        if used > self.limits.steps { Err(Exceeded::Steps(self.limits.steps)) } else { Ok(()) }
    }

    /// The steps and the bytes of output taken so far.
    pub(crate) fn taken(&self) -> (u64, u64) {
        (self.steps.load(Ordering::Relaxed), self.output_bytes.load(Ordering::Relaxed))
    }

    /// Takes `count` bytes of output. Functions that build long strings take them here first.
    ///
    /// # Errors
    /// [`Exceeded::Output`] when they are used up.
    pub fn take_output(&self, count: usize) -> Result<(), Exceeded> {
        let count = count as u64;
        let used = self.output_bytes.fetch_add(count, Ordering::Relaxed).saturating_add(count);
        if used > self.limits.output_bytes {
            Err(Exceeded::Output(self.limits.output_bytes))
        } else {
            Ok(())
        }
    }

    /// Opens a nested template; it closes when the guard is dropped.
    ///
    /// # Errors
    /// [`Exceeded::Depth`] when too many are open.
    pub fn enter(&self) -> Result<DepthGuard<'_>, Exceeded> {
        if self.depth.fetch_add(1, Ordering::Relaxed) >= self.limits.depth {
            self.depth.fetch_sub(1, Ordering::Relaxed);
            return Err(Exceeded::Depth(self.limits.depth));
        }
        Ok(DepthGuard(self))
    }
}

/// An open template; see [`Budget::enter`].
#[derive(Debug)]
pub struct DepthGuard<'a>(&'a Budget);

impl Drop for DepthGuard<'_> {
    fn drop(&mut self) {
        self.0.depth.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_given_back_when_a_template_ends() {
        let budget = Budget::new(Limits { depth: 1, ..Limits::default() });
        let open = budget.enter().unwrap();
        assert_eq!(budget.enter().unwrap_err(), Exceeded::Depth(1));
        drop(open);
        assert!(budget.enter().is_ok());
    }

    #[test]
    fn steps_and_output_name_their_bound() {
        let budget = Budget::new(Limits { steps: 2, output_bytes: 3, ..Limits::default() });
        assert!(budget.take_steps(2).is_ok());
        assert!(budget.take_steps(1).unwrap_err().to_string().contains("bound: steps"));
        assert!(budget.take_output(4).unwrap_err().to_string().contains("bound: output bytes"));
    }
}
