//! Names of the objects we make: limited in length, unique by hash.
//!
//! Owns the algorithms of Rancher Fleet 0.16; the same input must give the same name for ever.
//! Knows nothing of the objects themselves. Start at [`safe_concat_name`] and [`helm_release_name`].

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest, Sha256};

/// Longest name [`safe_concat_name`] makes, the limit of a label value.
const MAX_NAME: usize = 63;
/// Longest release name Helm accepts.
const MAX_RELEASE_NAME: usize = 53;

/// Lower-case hex of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string cannot fail");
        text
    })
}

/// sha256 of some bytes, in hex.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// Twelve hex characters that stand for a key; only its first 100 bytes count.
pub fn key_hash(key: &str) -> String {
    let bytes = key.as_bytes();
    sha256_hex(&bytes[..bytes.len().min(100)])[..12].to_owned()
}

/// Joins the parts with `-`; cuts the result to 63 bytes, ending in a hash, when it is longer.
pub fn safe_concat_name(parts: &[&str]) -> String {
    let full = parts.join("-");
    if full.len() <= MAX_NAME {
        return full;
    }
    let digest = sha256_hex(full.as_bytes());
    // Cutting after a letter or digit leaves room for five characters of the hash, else for six.
    let ends_well = matches!(full.as_bytes()[56], b'a'..=b'z' | b'0'..=b'9');
    if ends_well {
        format!("{}-{}", byte_prefix(&full, 57), &digest[..5])
    } else {
        format!("{}-{}", byte_prefix(&full, 56), &digest[..6])
    }
}

/// Cuts a text to `max` bytes, ending in a hash when something was cut.
pub fn limit_name(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    if max <= 6 {
        return byte_prefix(text, max);
    }
    let prefix = byte_prefix(text, max - 6);
    let hash = &md5_hex(text)[..5];
    if prefix.ends_with('-') { format!("{prefix}{hash}") } else { format!("{prefix}-{hash}") }
}

/// The first bytes of a text. Names are ASCII; a cut through another character drops its rest.
fn byte_prefix(text: &str, len: usize) -> String {
    String::from_utf8_lossy(&text.as_bytes()[..len]).replace('\u{fffd}', "")
}

/// Turns any text into the name of a Helm release: lower case, `-` for what is not allowed, at
/// most 53 bytes, with a hash wherever something was lost.
pub fn helm_release_name(text: &str) -> String {
    let flat = text.replace('/', "-");
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut name = flat.clone();
    if !flat.chars().all(allowed) {
        name = format!("{flat}-{}", &md5_hex(&flat)[..8]);
    }
    let mapped =
        name.to_lowercase().chars().map(|c| if allowed(c) { c } else { '-' }).collect::<String>();
    let parts = mapped.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let name = parts.join("-");
    if name.is_empty() {
        return md5_hex(text)[..24].to_owned();
    }
    limit_name(&name, MAX_RELEASE_NAME)
}

/// The namespace that holds a cluster's BundleDeployments.
pub fn cluster_namespace(namespace: &str, cluster: &str) -> String {
    let hash = key_hash(&format!("{namespace}::{cluster}"));
    safe_concat_name(&["cluster", namespace, cluster, &hash])
}

/// The Cluster made for an agent that registers itself.
pub fn registered_cluster(client_id: &str) -> String {
    safe_concat_name(&["cluster", &key_hash(client_id)])
}

/// The Secret in which a registering agent finds its credential.
pub fn credential_secret(client_id: &str, client_random: &str) -> String {
    let mut name = format!("c-{}", sha256_hex(format!("{client_id}{client_random}").as_bytes()));
    name.truncate(MAX_NAME);
    name
}

/// The account behind a ClusterRegistrationToken.
pub fn token_account(token: &str, uid: &str) -> String {
    safe_concat_name(&[token, uid])
}

/// The account behind a ClusterRegistration.
pub fn request_account(request: &str, uid: &str) -> String {
    safe_concat_name(&[request, uid])
}

/// The Secret with the token of an account.
pub fn account_token_secret(account: &str) -> String {
    format!("{account}-token")
}

/// The token with which the hub installs an agent itself.
pub fn import_token(cluster: &str) -> String {
    safe_concat_name(&[&format!("import-token-{cluster}")])
}

/// The Bundle that deploys a cluster's agent.
pub fn agent_bundle(cluster: &str) -> String {
    safe_concat_name(&["fleet-agent", cluster])
}

/// The Content that holds a manifest; `sha256` is the hex digest of the manifest.
pub fn content(sha256: &str) -> String {
    let mut name = format!("s-{sha256}");
    name.truncate(MAX_NAME);
    name
}

/// The id of the set of objects that one BundleDeployment makes. `scope` is the agent's, or empty.
pub fn object_set(bundle_deployment: &str, scope: &str) -> String {
    let id = match bundle_deployment.starts_with("fleet-agent") {
        true => "fleet-agent-bootstrap",
        false => bundle_deployment,
    };
    let parts: &[&str] = match (bundle_deployment.starts_with("fleet-agent"), scope.is_empty()) {
        (true, true) => &[id],
        (true, false) => &[id, scope],
        (false, true) => &["default", id],
        (false, false) => &["default", id, scope],
    };
    safe_concat_name(parts)
}

/// The label value that stands for a set id.
pub fn object_set_hash(set_id: &str) -> String {
    hex(&<sha1::Sha1 as sha1::Digest>::digest(set_id.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Recorded from Rancher Fleet 0.16.
    #[test]
    fn release_names_are_those_of_the_reference() {
        let fifty_three = "1234567890".repeat(5) + "123";
        for (input, name) in [
            ("long-name-test-shortpath-with@char", "long-name-test-shortpath-with-char-031bab5e"),
            ("long-name-test-0.App_ ", "long-name-test-0-app-5bf6b3fb"),
            ("long-name-test--App_-_12.factor", "long-name-test-app-12-factor-0efbac37"),
            ("bundle.name.example.com", "bundle-name-example-com-645ef821"),
            (&*(fifty_three + "a"), "12345678901234567890123456789012345678901234567-fdba4"),
            ("helm/single-cluster/helm", "helm-single-cluster-helm"),
        ] {
            assert_eq!(helm_release_name(input), name, "{input}");
        }
    }

    #[test]
    fn limited_names_are_those_of_the_reference() {
        assert_eq!(limit_name("12345678", 7), "1-25d55");
        assert_eq!(limit_name("1-3456789", 8), "1-9b657");
    }

    #[test]
    fn derived_names_are_those_seen_on_a_running_hub() {
        assert_eq!(
            cluster_namespace("fleet-local", "local"),
            "cluster-fleet-local-local-1a3d67d0a899"
        );
        assert_eq!(registered_cluster("cid-d2"), "cluster-313174e875bc");
        assert_eq!(
            cluster_namespace("clusters", "cluster-313174e875bc"),
            "cluster-clusters-cluster-313174e875bc-ee0583841248"
        );
        assert_eq!(object_set("remove-metadata", ""), "default-remove-metadata");
        assert_eq!(
            object_set_hash("default-remove-metadata"),
            "0f3e1d9d146fa8b290c0de403881184751430e59"
        );
    }

    #[test]
    fn long_names_have_63_bytes_and_end_in_a_hash() {
        let name = safe_concat_name(&["a".repeat(40).as_str(), "b".repeat(40).as_str()]);
        assert_eq!(name.len(), 63);
        let dashed = safe_concat_name(&["a".repeat(56).as_str(), "b".repeat(40).as_str()]);
        assert_eq!(dashed.len(), 63);
    }
}
