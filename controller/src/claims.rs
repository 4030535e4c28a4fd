//! Who counts on a Content, and who deletes it: never both at once.
//!
//! Owns the agreement between the passes that write BundleDeployments and the clean-up: between the
//! question whether anybody names a Content and its deletion, no pass may come to name it. Knows
//! nothing of objects. Start at [`Claims::claim`] and [`Claims::begin_deletion`].

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Shared between all passes; by name of the Content.
#[derive(Debug, Default)]
pub struct Claims {
    held: Mutex<BTreeMap<String, Hold>>,
}

#[derive(Debug, Default)]
struct Hold {
    /// Passes that are writing BundleDeployments which name it.
    claim_count: usize,
    deletion: Deletion,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Deletion {
    #[default]
    None,
    UnderWay,
    /// Sent; the local copy may show the Content all the same, and there may be none.
    Sent,
}

impl Claims {
    fn change<T>(&self, content: &str, change: impl FnOnce(&mut Hold) -> T) -> T {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let hold = held.entry(content.to_owned()).or_default();
        let result = change(hold);
        if hold.claim_count == 0 && hold.deletion == Deletion::None {
            held.remove(content);
        }
        result
    }

    /// Counts on a Content until the claim is dropped; `None` while it is being deleted.
    pub fn claim(&self, content: &str) -> Option<Claim<'_>> {
        let is_free = self.change(content, |hold| {
            let is_free = hold.deletion != Deletion::UnderWay;
            hold.claim_count += usize::from(is_free);
            is_free
        });
        is_free.then(|| Claim { claims: self, content: content.to_owned() })
    }

    /// Begins to delete a Content; `None` while somebody counts on it or deletes it.
    pub fn begin_deletion(&self, content: &str) -> Option<Deleting<'_>> {
        let before = self.change(content, |hold| {
            let is_free = hold.claim_count == 0 && hold.deletion != Deletion::UnderWay;
            is_free.then(|| std::mem::replace(&mut hold.deletion, Deletion::UnderWay))
        });
        before.map(|outcome| Deleting { claims: self, content: content.to_owned(), outcome })
    }

    /// Notes that the local copy shows that a Content is gone. A deletion that is still under way
    /// means that very object: it does nothing to one that is stored from now on.
    pub fn note_gone(&self, content: &str) {
        self.change(content, |hold| hold.deletion = Deletion::None);
    }
}

/// Somebody counts on a Content.
#[derive(Debug)]
pub struct Claim<'c> {
    claims: &'c Claims,
    content: String,
}

impl Claim<'_> {
    /// Whether there may be no such Content although the local copy shows one.
    pub fn is_doubtful(&self) -> bool {
        self.claims.change(&self.content, |hold| hold.deletion == Deletion::Sent)
    }

    /// Notes that the API server has it.
    pub fn note_stored(&self) {
        self.claims.change(&self.content, |hold| hold.deletion = Deletion::None);
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.claims.change(&self.content, |hold| hold.claim_count -= 1);
    }
}

/// Somebody deletes a Content.
#[derive(Debug)]
pub struct Deleting<'c> {
    claims: &'c Claims,
    content: String,
    /// What is true when this ends.
    outcome: Deletion,
}

impl Deleting<'_> {
    /// Notes that the API server is told to delete it now.
    pub fn note_sent(&mut self) {
        self.outcome = Deletion::Sent;
    }
}

impl Drop for Deleting<'_> {
    fn drop(&mut self) {
        self.claims.change(&self.content, |hold| {
            if hold.deletion == Deletion::UnderWay {
                hold.deletion = self.outcome;
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_counts_on_a_content_keeps_it_from_being_deleted_and_the_other_way_round() {
        let claims = Claims::default();
        let (one, two) = (claims.claim("c").unwrap(), claims.claim("c").unwrap());
        assert!(claims.begin_deletion("c").is_none());
        assert!(claims.begin_deletion("other").is_some());
        drop(one);
        assert!(claims.begin_deletion("c").is_none(), "the second one counts on it still");
        drop(two);
        let deleting = claims.begin_deletion("c").unwrap();
        assert!(claims.claim("c").is_none() && claims.begin_deletion("c").is_none());
        drop(deleting);
        assert!(!claims.claim("c").unwrap().is_doubtful(), "nothing was sent");
        assert!(claims.held.lock().unwrap().is_empty());
    }

    #[test]
    fn after_a_deletion_the_copy_is_not_believed_before_somebody_knows() {
        for knows in [
            |claims: &Claims| claims.note_gone("c"),
            |claims: &Claims| {
                claims.claim("c").unwrap().note_stored();
            },
        ] {
            let claims = Claims::default();
            claims.begin_deletion("c").unwrap().note_sent();
            assert!(claims.claim("c").unwrap().is_doubtful());
            drop(claims.begin_deletion("c").unwrap());
            assert!(claims.claim("c").unwrap().is_doubtful(), "a deletion that was given up later");
            knows(&claims);
            assert!(!claims.claim("c").unwrap().is_doubtful());
            assert!(claims.held.lock().unwrap().is_empty());
        }
    }
}
