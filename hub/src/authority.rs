//! Keys and certificates of one hub: its CA, its serving certificate, its token key.
//!
//! Owns their making and, with a data folder, their keeping. Knows nothing of requests.
//! Start at [`Authority::open`].

use std::path::Path;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::User;

/// Why the keys could not be made, read or written.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key library refused.
    #[error("keys and certificates: {0}")]
    Crypto(#[from] rcgen::Error),
    /// A file of the data folder could not be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the file system said.
        source: std::io::Error,
    },
    /// The TLS library refused the certificates.
    #[error("TLS set-up: {0}")]
    Tls(String),
}

/// A client certificate with its key, as PEM.
#[derive(Clone)]
pub struct ClientIdentity {
    /// The certificate, PEM.
    pub certificate: String,
    /// Its private key, PEM.
    pub key: String,
}

/// What a hub signs with.
pub(crate) struct Authority {
    ca_key: KeyPair,
    ca_pem: String,
    ca_der: CertificateDer<'static>,
    /// PKCS#8 of the key that signs service account tokens.
    pub(crate) token_key: Vec<u8>,
}

fn ca_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "hub-ca");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    // Not read by a clock of ours: 100 years, and a lost CA is a new data folder.
    params.not_before = rcgen::date_time_ymd(2024, 1, 1);
    params.not_after = rcgen::date_time_ymd(2124, 1, 1);
    params
}

impl Authority {
    /// Reads the keys in `folder`, or makes and keeps them; without a folder they are made only.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Authority, AuthorityError> {
        let folder = folder.map(|f| f.join("pki"));
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).map_err(|source| file(folder, source))?;
        }
        let key = |name: &str| match &folder {
            Some(folder) => kept_key(&folder.join(name)),
            None => Ok(KeyPair::generate()?),
        };
        let (ca_key, token_key) = (key("ca.key")?, key("sa.key")?);
        let ca_pem = match folder.map(|f| f.join("ca.crt")) {
            Some(path) if path.exists() => {
                std::fs::read_to_string(&path).map_err(|source| file(&path, source))?
            }
            Some(path) => {
                let pem = ca_params().self_signed(&ca_key)?.pem();
                std::fs::write(&path, &pem).map_err(|source| file(&path, source))?;
                pem
            }
            None => ca_params().self_signed(&ca_key)?.pem(),
        };
        let ca_der = der_of_pem(&ca_pem)?;
        Ok(Authority { ca_key, ca_pem, ca_der, token_key: token_key.serialize_der() })
    }

    /// The CA certificate, PEM.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    fn sign(&self, mut params: CertificateParams) -> Result<(String, KeyPair), AuthorityError> {
        params.not_before = rcgen::date_time_ymd(2024, 1, 1);
        params.not_after = rcgen::date_time_ymd(2124, 1, 1);
        let key = KeyPair::generate()?;
        let issuer = Issuer::new(ca_params(), &self.ca_key);
        Ok((params.signed_by(&key, &issuer)?.pem(), key))
    }

    /// A client certificate for `user`: its name as CN, its groups as O.
    pub(crate) fn client(&self, user: &User) -> Result<ClientIdentity, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, user.name.as_str());
        // rcgen keeps one value for each type of name: one group is what we need and can say.
        if let Some(group) = user.groups.first() {
            params.distinguished_name.push(DnType::OrganizationName, group.as_str());
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let (certificate, key) = self.sign(params)?;
        Ok(ClientIdentity { certificate, key: key.serialize_pem() })
    }

    /// TLS for a listener that answers to `names`; a client certificate is asked for, not demanded.
    pub(crate) fn tls(&self, names: Vec<String>) -> Result<rustls::ServerConfig, AuthorityError> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "hub");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let (pem, key) = self.sign(params)?;
        let tls_error = |e: &dyn std::fmt::Display| AuthorityError::Tls(e.to_string());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca_der.clone()).map_err(|e| tls_error(&e))?;
        let builder = rustls::server::WebPkiClientVerifier::builder_with_provider(
            Arc::new(roots),
            provider.clone(),
        );
        let verifier = builder.allow_unauthenticated().build().map_err(|e| tls_error(&e))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| tls_error(&e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![der_of_pem(&pem)?], key)
            .map_err(|e| tls_error(&e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn file(path: &Path, source: std::io::Error) -> AuthorityError {
    AuthorityError::File { path: path.display().to_string(), source }
}

fn der_of_pem(pem: &str) -> Result<CertificateDer<'static>, AuthorityError> {
    use rustls::pki_types::pem::PemObject as _;
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| AuthorityError::Tls(e.to_string()))
}

fn kept_key(path: &Path) -> Result<KeyPair, AuthorityError> {
    if path.exists() {
        let pem = std::fs::read_to_string(path).map_err(|source| file(path, source))?;
        return Ok(KeyPair::from_pem(&pem)?);
    }
    let key = KeyPair::generate()?;
    write_private(path, &key.serialize_pem()).map_err(|source| file(path, source))?;
    Ok(key)
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}
