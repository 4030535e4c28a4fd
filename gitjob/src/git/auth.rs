//! Git credentials out of Secrets.
//!
//! Owns which keys of a Secret mean what. Knows nothing of where they are sent: that is bound to
//! an origin by [`crate::net`]. Start at [`read_access`].

use k8s_openapi::api::core::v1::Secret;
use runtime::{Classify, ErrorClass};

use crate::net::{Access, Credentials};

/// Used when a GitRepo names no Secret and this one is there.
pub const DEFAULT_SECRET: &str = "gitcredential";

/// A Secret that cannot be used. Never quotes its data.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// A key is missing.
    #[error(
        "secret {secret} has no {wanted}; it needs the keys of a kubernetes.io/basic-auth secret"
    )]
    Missing {
        /// Its name.
        secret: String,
        /// The key.
        wanted: &'static str,
    },
    /// The value is no text.
    #[error("secret {secret}: {key} is not UTF-8 text")]
    NotText {
        /// Its name.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// A kind of credential that is not served.
    #[error(
        "secret {secret} holds {what}, which is not served yet; use username and password (or a token)"
    )]
    NotServed {
        /// Its name.
        secret: String,
        /// What it holds.
        what: &'static str,
    },
}

impl Classify for AuthError {
    fn class(&self) -> ErrorClass {
        ErrorClass::User
    }
}

/// The credentials in a Secret of a GitRepo, by the rules of Fleet 0.16: a password without a user
/// name is used as user name too.
///
/// # Errors
/// When the Secret lacks keys or holds a kind of credential that is not served.
pub fn read_credentials(secret: &Secret) -> Result<Credentials, AuthError> {
    let name = secret.metadata.name.clone().unwrap_or_default();
    if value(secret, "github_app_id").is_some() {
        let what = "a GitHub App key";
        return Err(AuthError::NotServed { secret: name, what });
    }
    if value(secret, "ssh-privatekey").is_some() && value(secret, "password").is_none() {
        return Err(AuthError::NotServed { secret: name, what: "an ssh key" });
    }
    let password = text(secret, &name, "password")?;
    let password =
        password.ok_or_else(|| AuthError::Missing { secret: name.clone(), wanted: "password" })?;
    let username = text(secret, &name, "username")?.filter(|username| !username.is_empty());
    Ok(Credentials::Basic { username: username.unwrap_or_else(|| password.clone()), password })
}

/// Everything a GitRepo says about how to speak to its server.
///
/// # Errors
/// As [`read_credentials`].
pub fn read_access(
    secret: Option<&Secret>,
    ca_pem: Option<&[u8]>,
    insecure_skip_tls: bool,
) -> Result<Access, AuthError> {
    let credentials = secret.map(read_credentials).transpose()?;
    let ca_pem = ca_pem.filter(|pem| !pem.is_empty()).map(<[u8]>::to_vec);
    Ok(Access { credentials, ca_pem, insecure_skip_tls })
}

fn value<'a>(secret: &'a Secret, key: &str) -> Option<&'a [u8]> {
    let data = secret.data.as_ref()?.get(key)?;
    Some(&data.0)
}

fn text(secret: &Secret, name: &str, key: &'static str) -> Result<Option<String>, AuthError> {
    let Some(bytes) = value(secret, key) else { return Ok(None) };
    match std::str::from_utf8(bytes) {
        // People make Secrets from files, and files end in a newline.
        Ok(text) => Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned())),
        Err(_) => Err(AuthError::NotText { secret: name.to_owned(), key }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;

    fn secret(data: &[(&str, &str)]) -> Secret {
        let data = data.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())));
        let mut secret = Secret { data: Some(data.collect()), ..Secret::default() };
        secret.metadata.name = Some("creds".to_owned());
        secret
    }

    fn basic(username: &str, password: &str) -> Credentials {
        Credentials::Basic { username: username.into(), password: password.into() }
    }

    #[test]
    fn a_password_alone_is_the_user_name_too() {
        let both = secret(&[("username", "u"), ("password", "p\n")]);
        assert_eq!(read_credentials(&both), Ok(basic("u", "p")));
        assert_eq!(read_credentials(&secret(&[("password", "p")])), Ok(basic("p", "p")));
    }

    #[test]
    fn what_is_not_served_says_so() {
        let ssh = read_credentials(&secret(&[("ssh-privatekey", "KEY")])).unwrap_err().to_string();
        assert!(ssh.contains("an ssh key, which is not served yet") && !ssh.contains("KEY"));
        assert!(read_credentials(&secret(&[("github_app_id", "1")])).is_err());
        let empty = read_credentials(&secret(&[])).unwrap_err();
        assert!(empty.to_string().contains("has no password"));
    }
}
