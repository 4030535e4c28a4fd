//! Which Helm credentials go to which source.
//!
//! Owns the rules of `helmSecretName`, `helmSecretNameForPaths` and `helmRepoURLRegex`.

use std::collections::BTreeMap;

use bundle_format::api::GitRepoSpec;
use bundle_format::charts::{PathCredentials, credentials_for, read_path_credentials};
use k8s_openapi::api::core::v1::Secret;
use regex::Regex;

use super::FetchChartError;
use crate::net::{Access, Credentials, NetError};

/// How to speak to one source.
#[derive(Clone, Debug, Default)]
pub(super) struct SourceAccess {
    pub(super) access: Access,
    /// Registries are spoken to over plain http.
    pub(super) basic_http: bool,
}

/// The Helm credentials of a GitRepo.
#[derive(Clone, Debug, Default)]
pub(crate) struct HelmAccess {
    /// For every path.
    common: Option<PathCredentials>,
    /// Per path; they replace the common ones.
    by_path: BTreeMap<String, PathCredentials>,
    has_paths: bool,
    /// Anchored at the start; `None` lets credentials go nowhere.
    regex: Option<Regex>,
    /// The GitRepo's own CA, used when a Secret names none.
    ca_pem: Option<Vec<u8>>,
    insecure_skip_tls: bool,
}

impl HelmAccess {
    /// Reads the Secrets. That for paths takes precedence, as in Fleet 0.16.
    pub(crate) fn new(
        spec: &GitRepoSpec,
        common: Option<&Secret>,
        for_paths: Option<&Secret>,
    ) -> Result<Self, String> {
        let by_path = match for_paths {
            None => BTreeMap::new(),
            Some(secret) => {
                let text = text(secret, "secrets-path.yaml").unwrap_or_default();
                let name = &spec.helm_secret_name_for_paths;
                read_path_credentials(&text).map_err(|e| format!("secret {name}: {e}"))?
            }
        };
        let pattern = spec.helm_repo_url_regex.as_str();
        let regex = (!pattern.is_empty())
            .then(|| {
                regex::RegexBuilder::new(&format!("^(?:{pattern})")).size_limit(1 << 18).build()
            })
            .transpose()
            .map_err(|_| format!("helmRepoURLRegex {pattern:?} is not a regular expression"))?;
        Ok(Self {
            common: common.map(read_common),
            by_path,
            has_paths: for_paths.is_some(),
            regex,
            ca_pem: spec.ca_bundle.as_ref().map(|bytes| bytes.0.clone()),
            insecure_skip_tls: spec.insecure_skip_tls_verify,
        })
    }

    fn found(&self, path: &str) -> Option<&PathCredentials> {
        match self.has_paths {
            true => credentials_for(&self.by_path, path),
            false => self.common.as_ref(),
        }
    }

    /// What may be sent to `source` for the bundle at `path`: credentials only where the regular
    /// expression matches, TLS settings always.
    pub(super) fn access(&self, path: &str, source: &str) -> SourceAccess {
        let found = self.found(path).cloned().unwrap_or_default();
        let may_send = self.regex.as_ref().is_some_and(|regex| regex.is_match(source));
        let PathCredentials { username, password, ca_bundle, .. } = found;
        let credentials =
            (may_send && !password.is_empty()).then_some(Credentials::Basic { username, password });
        let own_ca = Some(ca_bundle.into_bytes()).filter(|pem| !pem.trim_ascii().is_empty());
        let access = Access {
            credentials,
            ca_pem: own_ca.or_else(|| self.ca_pem.clone()),
            insecure_skip_tls: self.insecure_skip_tls || found.insecure_skip_verify,
        };
        SourceAccess { access, basic_http: found.basic_http }
    }

    /// What to add to an error that credentials might have prevented. Fleet 0.16's words.
    pub(super) fn hint(&self, path: &str, error: &FetchChartError) -> &'static str {
        let is_refusal = matches!(error, FetchChartError::Net(NetError::Status { .. }));
        let has_credentials = self.found(path).is_some_and(|found| !found.password.is_empty());
        match is_refusal && has_credentials && self.regex.is_none() {
            true => {
                "; helmRepoURLRegex is empty, so Helm credentials were not forwarded; set \
                 spec.helmRepoURLRegex to allow credential forwarding"
            }
            false => "",
        }
    }
}

fn read_common(secret: &Secret) -> PathCredentials {
    let flag = |key: &str| text(secret, key).is_some_and(|text| text == "true");
    PathCredentials {
        username: text(secret, "username").unwrap_or_default(),
        password: text(secret, "password").unwrap_or_default(),
        ca_bundle: text(secret, "cacerts").unwrap_or_default(),
        insecure_skip_verify: flag("insecureSkipVerify"),
        basic_http: flag("basicHTTP"),
    }
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = &secret.data.as_ref()?.get(key)?.0;
    Some(String::from_utf8_lossy(bytes).trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn secret(data: &[(&str, &str)]) -> Secret {
        let data = data.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())));
        Secret { data: Some(data.collect()), ..Secret::default() }
    }

    fn sent(regex: &str, source: &str) -> bool {
        let spec = GitRepoSpec { helm_repo_url_regex: regex.to_owned(), ..Default::default() };
        let secret = secret(&[("username", "u"), ("password", "p")]);
        let helm = HelmAccess::new(&spec, Some(&secret), None).unwrap();
        helm.access("a", source).access.credentials.is_some()
    }

    #[test]
    fn credentials_go_only_where_the_expression_matches_from_the_start() {
        assert!(sent("https://charts\\.example/", "https://charts.example/stable"));
        assert!(!sent("https://charts\\.example/", "https://evil.example/https://charts.example/"));
        assert!(!sent("", "https://charts.example/stable"));
        let spec = GitRepoSpec { helm_repo_url_regex: "(".into(), ..Default::default() };
        assert!(HelmAccess::new(&spec, None, None).is_err());
    }

    #[test]
    fn the_secret_for_paths_replaces_the_common_one() {
        let spec = GitRepoSpec { helm_repo_url_regex: ".*".into(), ..Default::default() };
        let common = secret(&[("password", "common")]);
        let paths = secret(&[("secrets-path.yaml", "a: {username: u, password: own}")]);
        let helm = HelmAccess::new(&spec, Some(&common), Some(&paths)).unwrap();
        let basic = Credentials::Basic { username: "u".into(), password: "own".into() };
        assert_eq!(helm.access("a", "https://x").access.credentials, Some(basic));
        assert_eq!(helm.access("b", "https://x").access.credentials, None);
    }
}
