//! Which of the clusters a bundle may go to it does go to.
//!
//! Owns the policies that pick. Must not know options or rollouts. Start at [`place_targets`].
//!
//! Every policy is a chain: filters take clusters out, scores rank them, the pick cuts the list.
//! Today there is one pick, all of them; a fixed list and the best N join as further arms of
//! [`Pick`].

use crate::target::Match;

/// How clusters are picked out of those that match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacementPolicy {
    /// How many, and which.
    pub pick: Pick,
}

/// How many clusters are picked, and which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pick {
    /// Every cluster that matches, at all times.
    #[default]
    All,
}

/// A cluster that a bundle does go to.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed<'a> {
    /// The match it comes from.
    pub matched: Match<'a>,
    /// Why it was picked, for status and messages.
    pub reason: PlacedReason,
}

/// Why a cluster was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlacedReason {
    /// The policy picks every match.
    Matched,
}

/// Picks clusters. Guarantees: the answer is in the order of the matches.
pub fn place_targets<'a>(policy: &PlacementPolicy, matches: Vec<Match<'a>>) -> Vec<Placed<'a>> {
    match policy.pick {
        Pick::All => matches
            .into_iter()
            .map(|matched| Placed { matched, reason: PlacedReason::Matched })
            .collect(),
    }
}
