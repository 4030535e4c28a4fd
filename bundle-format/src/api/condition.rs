//! Conditions: what an object says about itself.
//!
//! Owns reading and setting them in a status. Must not know clients or clocks: the time of a change
//! comes in as text. Start at [`set_condition`].

go_struct! {
    /// One observed aspect of an object.
    pub struct Condition {
        /// Name of the aspect, for example `Ready`.
        #[serde(rename = "type")]
        always pub type_: String,
        /// `True`, `False` or `Unknown`.
        always pub status: String,
        /// When this entry was last changed, RFC 3339.
        pub last_update_time: String,
        /// When the status last changed from one word to another, RFC 3339.
        pub last_transition_time: String,
        /// One word for machines; `Error` for failures.
        pub reason: String,
        /// The words for people.
        pub message: String,
    }
}

/// What a condition shall say; see [`set_condition`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionState {
    /// `Some(true)` is `True`, `Some(false)` is `False`, `None` is `Unknown`.
    pub status: Option<bool>,
    /// One word for machines.
    pub reason: String,
    /// The words for people.
    pub message: String,
}

impl ConditionState {
    /// True, with nothing more to say.
    pub fn is_true() -> Self {
        Self { status: Some(true), reason: String::new(), message: String::new() }
    }

    /// False with the reason `Error`, as Fleet 0.16 reports every failure.
    pub fn error(message: impl Into<String>) -> Self {
        Self { status: Some(false), reason: "Error".into(), message: message.into() }
    }

    /// False without a reason: not true yet, nothing wrong.
    pub fn is_false(message: impl Into<String>) -> Self {
        Self { status: Some(false), reason: String::new(), message: message.into() }
    }

    fn word(&self) -> &'static str {
        match self.status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        }
    }
}

/// The condition of that type.
pub fn find_condition<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == type_)
}

/// True when the condition of that type says `True`.
pub fn condition_is_true(conditions: &[Condition], type_: &str) -> bool {
    find_condition(conditions, type_).is_some_and(|condition| condition.status == "True")
}

/// Sets the condition of that type and leaves the others alone; returns whether anything changed.
///
/// Guarantees: a condition that already says this keeps its times, so that an unchanged world
/// causes no write. `now` is RFC 3339.
pub fn set_condition(
    conditions: &mut Vec<Condition>,
    type_: &str,
    state: &ConditionState,
    now: &str,
) -> bool {
    let (word, reason, message) = (state.word(), state.reason.as_str(), state.message.as_str());
    match conditions.iter_mut().find(|condition| condition.type_ == type_) {
        Some(held) if held.status == word && held.reason == reason && held.message == message => {
            false
        }
        Some(held) => {
            if held.status != word || held.last_transition_time.is_empty() {
                held.last_transition_time = now.to_owned();
            }
            word.clone_into(&mut held.status);
            reason.clone_into(&mut held.reason);
            message.clone_into(&mut held.message);
            now.clone_into(&mut held.last_update_time);
            true
        }
        None => {
            conditions.push(Condition {
                type_: type_.to_owned(),
                status: word.to_owned(),
                last_update_time: now.to_owned(),
                last_transition_time: now.to_owned(),
                reason: reason.to_owned(),
                message: message.to_owned(),
            });
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_that_says_the_same_keeps_its_times() {
        let mut held = Vec::new();
        assert!(set_condition(&mut held, "Ready", &ConditionState::error("no chart"), "t1"));
        assert!(!set_condition(&mut held, "Ready", &ConditionState::error("no chart"), "t2"));
        assert!(set_condition(&mut held, "Ready", &ConditionState::error("no values"), "t3"));
        assert_eq!((&*held[0].last_update_time, &*held[0].last_transition_time), ("t3", "t1"));
        assert!(set_condition(&mut held, "Ready", &ConditionState::is_true(), "t4"));
        assert_eq!((&*held[0].reason, &*held[0].last_transition_time), ("", "t4"));
    }
}
