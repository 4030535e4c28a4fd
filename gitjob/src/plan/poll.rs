//! Which GitRepos are due for a look at their repository.
//!
//! Start at [`plan_poll`].

use std::time::Duration;

/// Time between two looks for it.
pub const HINT_RETRY: Duration = Duration::from_secs(2);

/// What is known of one GitRepo's last look.
#[derive(Clone, Copy, Debug)]
pub struct PollState {
    /// The wanted time between two looks.
    pub interval: Duration,
    /// Looks are only taken on demand.
    pub is_disabled: bool,
    /// How long ago the last look was; `None` before the first one in this process.
    pub age: Option<Duration>,
    /// The spec, a secret, a webhook or `forceSyncGeneration` asks for a look.
    pub is_demanded: bool,
    /// There is a commit to stay at.
    pub has_commit: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollPlan {
    /// Look; an answer of another GitRepo will do if it is at most this old.
    Look {
        /// Oldest answer that will do.
        max_age: Duration,
    },
    /// Not yet.
    Wait(Duration),
    /// Only on demand.
    Stay,
}

/// Says whether a look is due.
///
/// Looks of GitRepos that share a remote fall together: whoever is due first takes it, and the
/// others find an answer young enough.
#[must_use]
pub fn plan_poll(state: &PollState) -> PollPlan {
    if state.is_demanded {
        return PollPlan::Look { max_age: Duration::ZERO };
    }
    match (state.is_disabled, state.age) {
        (true, _) if state.has_commit => PollPlan::Stay,
        (_, None) => PollPlan::Look { max_age: state.interval },
        // A timer that fires a moment early must not cost a whole interval.
        (_, Some(age)) if age + Duration::from_millis(50) >= state.interval => {
            PollPlan::Look { max_age: state.interval / 2 }
        }
        (_, Some(age)) => PollPlan::Wait(state.interval.saturating_sub(age)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> PollState {
        PollState {
            interval: Duration::from_secs(15),
            is_disabled: false,
            age: None,
            is_demanded: false,
            has_commit: true,
        }
    }

    #[test]
    fn the_first_look_is_at_once_and_the_next_after_the_interval() {
        assert!(matches!(plan_poll(&state()), PollPlan::Look { .. }));
        let young = PollState { age: Some(Duration::from_secs(5)), ..state() };
        assert_eq!(plan_poll(&young), PollPlan::Wait(Duration::from_secs(10)));
        let old = PollState { age: Some(Duration::from_secs(15)), ..state() };
        assert!(matches!(plan_poll(&old), PollPlan::Look { .. }));
    }

    #[test]
    fn without_polling_only_a_demand_or_a_missing_commit_looks() {
        let disabled = PollState { is_disabled: true, ..state() };
        assert_eq!(plan_poll(&disabled), PollPlan::Stay);
        let demanded = PollState { is_demanded: true, ..disabled };
        assert_eq!(plan_poll(&demanded), PollPlan::Look { max_age: Duration::ZERO });
        let fresh = PollState { has_commit: false, ..disabled };
        assert!(matches!(plan_poll(&fresh), PollPlan::Look { .. }));
    }
}
