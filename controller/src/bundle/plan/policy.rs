//! What the Policies of a namespace say about its Bundles.
//!
//! Owns the union of several Policies and the words of a refusal (Fleet 0.16, fleet-flow 5.1).
//! Pure. Start at [`PolicyUnion`].

use std::collections::BTreeSet;
use std::sync::Arc;

use bundle_format::api::{Bundle, Policy};

/// A Policy forbids it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Every bundle must name an account.
    #[error("serviceAccount is required by Policy but is not set on the Bundle")]
    AccountRequired,
    /// The account is not one of those allowed.
    #[error("disallowed serviceAccount {account}: {account} not in allowed set [{allowed}]")]
    Account {
        /// The account.
        account: String,
        /// Those allowed.
        allowed: String,
    },
    /// A target's account is not one of those allowed.
    #[error(
        "disallowed serviceAccount {account} in target {target}: {account} not in allowed set \
         [{allowed}]"
    )]
    TargetAccount {
        /// The account.
        account: String,
        /// The target.
        target: String,
        /// Those allowed.
        allowed: String,
    },
}

/// All Policies of a namespace together.
#[derive(Debug, Default)]
pub struct PolicyUnion {
    require_account: bool,
    allow_namespace_creation: bool,
    accounts: BTreeSet<String>,
}

impl PolicyUnion {
    /// Joins Policies: lists are united, a demand of one is a demand of all.
    pub fn of(policies: &[Arc<Policy>]) -> Self {
        let mut union = Self::default();
        for policy in policies {
            union.require_account |= policy.spec.require_service_account;
            union.allow_namespace_creation |= policy.spec.allow_namespace_creation;
            union.accounts.extend(policy.spec.allowed_service_accounts.iter().cloned());
        }
        union
    }

    /// Deployments may not create their namespace.
    pub fn forbids_namespace_creation(&self) -> bool {
        self.require_account && !self.allow_namespace_creation
    }

    /// Checks the accounts a Bundle names.
    ///
    /// # Errors
    /// When one is missing or not allowed.
    pub fn check_bundle(&self, bundle: &Bundle) -> Result<(), PolicyError> {
        let account = bundle.spec.options.service_account.as_str();
        if account.is_empty() && self.require_account {
            return Err(PolicyError::AccountRequired);
        }
        let allowed = || self.accounts.iter().cloned().collect::<Vec<_>>().join(" ");
        if !self.allows(account) {
            return Err(PolicyError::Account { account: account.to_owned(), allowed: allowed() });
        }
        for target in &bundle.spec.targets {
            let account = target.options.service_account.as_str();
            if !self.allows(account) {
                return Err(PolicyError::TargetAccount {
                    account: account.to_owned(),
                    target: target.name.clone(),
                    allowed: allowed(),
                });
            }
        }
        Ok(())
    }

    fn allows(&self, account: &str) -> bool {
        account.is_empty() || self.accounts.is_empty() || self.accounts.contains(account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle_format::api::BundleTarget;

    fn policy(require: bool, accounts: &[&str]) -> Arc<Policy> {
        let mut policy = Policy::default();
        policy.spec.require_service_account = require;
        policy.spec.allowed_service_accounts = accounts.iter().map(|&name| name.into()).collect();
        Arc::new(policy)
    }

    #[test]
    fn policies_of_a_namespace_count_together() {
        let union = PolicyUnion::of(&[policy(true, &["a"]), policy(false, &["b"])]);
        let mut bundle = Bundle::default();
        assert_eq!(union.check_bundle(&bundle), Err(PolicyError::AccountRequired));
        bundle.spec.options.service_account = "b".into();
        assert_eq!(union.check_bundle(&bundle), Ok(()));
        assert!(union.forbids_namespace_creation());
    }

    #[test]
    fn a_targets_account_is_checked_too() {
        let union = PolicyUnion::of(&[policy(false, &["a", "b"])]);
        let mut bundle = Bundle::default();
        let mut target = BundleTarget { name: "edge".into(), ..Default::default() };
        target.options.service_account = "root".into();
        bundle.spec.targets = vec![target];
        assert_eq!(
            union.check_bundle(&bundle).unwrap_err().to_string(),
            "disallowed serviceAccount root in target edge: root not in allowed set [a b]"
        );
    }
}
