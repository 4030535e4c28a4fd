//! What the GitRepos of a namespace may do.
//!
//! Owns the reading of GitRepoRestrictions and Policies together. Start at [`restrict`].

use bundle_format::api::{GitRepoRestriction, GitRepoSpec, LabelSelector, Policy};
use regex::Regex;

/// A pattern may compile to at most this many bytes.
const REGEX_BYTES_MAX: usize = 256 * 1024;

/// Values that a namespace fills in where a GitRepo says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// For an empty `serviceAccount`.
    pub service_account: String,
    /// For an empty `clientSecretName`.
    pub client_secret_name: String,
}

/// A GitRepo that may not do what it wants. The texts are Fleet 0.16's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// No target namespace, though only some are allowed.
    #[error("empty targetNamespace denied, because {restriction} restriction is present")]
    EmptyTargetNamespace {
        /// The restricting field.
        restriction: &'static str,
    },
    /// A value that is not allowed.
    #[error("disallowed {field} {value}: {value} not in allowed set [{}]", .allowed.join(" "))]
    NotAllowed {
        /// The field of the GitRepo.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        allowed: Vec<String>,
    },
    /// An account is required.
    #[error("serviceAccount is required by Policy but is not set")]
    ServiceAccountRequired,
}

/// Everything that restricts one namespace, united.
#[derive(Clone, Debug, Default)]
struct Rules {
    defaults: Defaults,
    requires_service_account: bool,
    service_accounts: Vec<String>,
    /// Patterns of restrictions match anywhere, those of policies the whole.
    repo_patterns: Vec<String>,
    whole_repo_patterns: Vec<String>,
    client_secret_names: Vec<String>,
    target_namespaces: Vec<String>,
    target_namespace_selector: Option<LabelSelector>,
}

/// Checks a GitRepo against the restrictions and policies of its namespace, both sorted by name.
///
/// # Errors
/// The first [`Violation`], in Fleet 0.16's order.
pub fn restrict(
    spec: &GitRepoSpec,
    restrictions: &[impl AsRef<GitRepoRestriction>],
    policies: &[impl AsRef<Policy>],
) -> Result<Defaults, Violation> {
    let mut rules = Rules::default();
    for restriction in restrictions {
        rules.add_restriction(restriction.as_ref());
    }
    for policy in policies {
        rules.add_policy(policy.as_ref());
    }
    rules.check(spec)
}

impl Rules {
    fn add_restriction(&mut self, restriction: &GitRepoRestriction) {
        let spec = &restriction.spec;
        fill(&mut self.defaults.service_account, &spec.default_service_account);
        fill(&mut self.defaults.client_secret_name, &spec.default_client_secret_name);
        self.service_accounts.extend_from_slice(&spec.allowed_service_accounts);
        self.repo_patterns.extend_from_slice(&spec.allowed_repo_patterns);
        self.client_secret_names.extend_from_slice(&spec.allowed_client_secret_names);
        self.target_namespaces.extend_from_slice(&spec.allowed_target_namespaces);
        if self.target_namespace_selector.is_none() {
            self.target_namespace_selector.clone_from(&spec.allowed_target_namespace_selector);
        }
    }

    fn add_policy(&mut self, policy: &Policy) {
        self.requires_service_account |= policy.spec.require_service_account;
        self.service_accounts.extend_from_slice(&policy.spec.allowed_service_accounts);
        let Some(git) = &policy.spec.git_repo else { return };
        fill(&mut self.defaults.service_account, &git.default_service_account);
        fill(&mut self.defaults.client_secret_name, &git.default_client_secret_name);
        self.client_secret_names.extend_from_slice(&git.allowed_client_secret_names);
        self.whole_repo_patterns.extend_from_slice(&git.allowed_repo_patterns);
    }

    fn check(&self, spec: &GitRepoSpec) -> Result<Defaults, Violation> {
        let namespace = spec.target_namespace.as_str();
        if namespace.is_empty() && !self.target_namespaces.is_empty() {
            let restriction = "allowedTargetNamespaces";
            return Err(Violation::EmptyTargetNamespace { restriction });
        }
        if namespace.is_empty() && self.target_namespace_selector.is_some() {
            let restriction = "allowedTargetNamespaceSelector";
            return Err(Violation::EmptyTargetNamespace { restriction });
        }
        // A selector is an alternative to the list; agents check it on the real namespace.
        if self.target_namespace_selector.is_none() {
            one_of("targetNamespace", namespace, &self.target_namespaces)?;
        }
        let account = or_default(&spec.service_account, &self.defaults.service_account);
        one_of("serviceAccount", &spec.service_account, &self.service_accounts)?;
        self.check_repo(&spec.repo)?;
        one_of("clientSecretName", &spec.client_secret_name, &self.client_secret_names)?;
        if self.requires_service_account && account.is_empty() {
            return Err(Violation::ServiceAccountRequired);
        }
        let secret = or_default(&spec.client_secret_name, &self.defaults.client_secret_name);
        Ok(Defaults { service_account: account, client_secret_name: secret })
    }

    fn check_repo(&self, repo: &str) -> Result<(), Violation> {
        let anywhere = self.repo_patterns.iter().map(|p| (p, p.clone()));
        let whole = self.whole_repo_patterns.iter().map(|p| (p, format!("^(?:{p})$")));
        let mut allowed = Vec::new();
        for (pattern, regex) in anywhere.chain(whole) {
            if pattern == repo || matches(&regex, repo) {
                return Ok(());
            }
            allowed.push(pattern.clone());
        }
        match allowed.is_empty() {
            true => Ok(()),
            false => Err(Violation::NotAllowed { field: "repo", value: repo.to_owned(), allowed }),
        }
    }
}

/// An invalid pattern matches nothing but itself.
fn matches(pattern: &str, text: &str) -> bool {
    let built = regex::RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).build();
    built.is_ok_and(|regex: Regex| regex.is_match(text))
}

/// An empty value takes the default and always passes; an empty list allows everything.
fn one_of(field: &'static str, value: &str, allowed: &[String]) -> Result<(), Violation> {
    if value.is_empty() || allowed.is_empty() || allowed.iter().any(|a| a == value) {
        return Ok(());
    }
    Err(Violation::NotAllowed { field, value: value.to_owned(), allowed: allowed.to_vec() })
}

fn fill(default: &mut String, value: &str) {
    if default.is_empty() {
        value.clone_into(default);
    }
}

fn or_default(value: &str, default: &str) -> String {
    if value.is_empty() { default.to_owned() } else { value.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bundle_format::api::{GitRepoPolicy, GitRepoRestrictionSpec, PolicySpec};

    fn spec() -> GitRepoSpec {
        GitRepoSpec { repo: "https://git.example/a".into(), ..GitRepoSpec::default() }
    }

    fn check(
        spec: &GitRepoSpec,
        restriction: GitRepoRestrictionSpec,
        policy: PolicySpec,
    ) -> Result<Defaults, String> {
        let restriction = GitRepoRestriction { spec: restriction, ..Default::default() };
        let policy = Policy { spec: policy, ..Default::default() };
        restrict(spec, &[Box::new(restriction)], &[Box::new(policy)]).map_err(|v| v.to_string())
    }

    fn list(items: &[&str]) -> Vec<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn the_texts_are_those_of_the_reference() {
        let namespaces = GitRepoRestrictionSpec {
            allowed_target_namespaces: list(&["a", "b"]),
            ..Default::default()
        };
        assert_eq!(
            check(&spec(), namespaces.clone(), PolicySpec::default()).unwrap_err(),
            "empty targetNamespace denied, because allowedTargetNamespaces restriction is present"
        );
        let foreign = GitRepoSpec { target_namespace: "x".into(), ..spec() };
        assert_eq!(
            check(&foreign, namespaces, PolicySpec::default()).unwrap_err(),
            "disallowed targetNamespace x: x not in allowed set [a b]"
        );
        let required = PolicySpec { require_service_account: true, ..Default::default() };
        assert_eq!(
            check(&spec(), GitRepoRestrictionSpec::default(), required).unwrap_err(),
            "serviceAccount is required by Policy but is not set"
        );
    }

    #[test]
    fn accounts_and_secrets_that_are_not_listed_are_refused() {
        let allowed = GitRepoRestrictionSpec {
            allowed_service_accounts: list(&["tenant"]),
            allowed_client_secret_names: list(&["git"]),
            ..Default::default()
        };
        let asks = |account: &str, secret: &str| GitRepoSpec {
            service_account: account.into(),
            client_secret_name: secret.into(),
            ..spec()
        };
        let refused =
            |spec: &GitRepoSpec| check(spec, allowed.clone(), PolicySpec::default()).unwrap_err();
        assert_eq!(
            refused(&asks("root", "git")),
            "disallowed serviceAccount root: root not in allowed set [tenant]"
        );
        assert_eq!(
            refused(&asks("tenant", "other")),
            "disallowed clientSecretName other: other not in allowed set [git]"
        );
        assert!(check(&asks("tenant", "git"), allowed.clone(), PolicySpec::default()).is_ok());
    }

    #[test]
    fn patterns_of_policies_match_the_whole_and_those_of_restrictions_a_part() {
        let part = GitRepoRestrictionSpec {
            allowed_repo_patterns: list(&["git.example"]),
            ..Default::default()
        };
        assert!(check(&spec(), part, PolicySpec::default()).is_ok());
        let policy = |pattern: &str| PolicySpec {
            git_repo: Some(GitRepoPolicy {
                allowed_repo_patterns: list(&[pattern]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let none = GitRepoRestrictionSpec::default;
        assert!(check(&spec(), none(), policy("git.example")).is_err());
        assert!(check(&spec(), none(), policy("https://git[.]example/.*")).is_ok());
    }

    #[test]
    fn the_default_of_a_restriction_wins_over_that_of_a_policy() {
        let restriction =
            GitRepoRestrictionSpec { default_service_account: "r".into(), ..Default::default() };
        let policy = PolicySpec {
            require_service_account: true,
            git_repo: Some(GitRepoPolicy {
                default_service_account: "p".into(),
                default_client_secret_name: "s".into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let defaults = check(&spec(), restriction, policy).unwrap();
        assert_eq!((&*defaults.service_account, &*defaults.client_secret_name), ("r", "s"));
    }
}
