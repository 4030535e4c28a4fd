//! Certificates of a control plane that lives for one test run.
//!
//! Owns the CA, the leaf certificates and the key of service accounts. Start at [`Pki::create`].

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SanType,
};

/// The certificate files of one cluster.
#[derive(Debug, Clone)]
pub struct Pki {
    folder: PathBuf,
    /// The CA certificate, PEM.
    pub ca_pem: String,
    /// The administrator's certificate and key, PEM.
    pub admin: (String, String),
    /// The controller manager's certificate and key, PEM.
    pub manager: (String, String),
}

impl Pki {
    /// Makes everything new in `folder`.
    ///
    /// # Errors
    /// When a key cannot be made or a file not written.
    pub fn create(folder: &Path, cluster: &str) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!("{cluster}-ca"), None);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let server = leaf(&ca, name("kube-apiserver", None))?;
        let account_key = KeyPair::generate()?;
        let pki = Self {
            folder: folder.to_owned(),
            ca_pem: ca.pem(),
            admin: leaf(&ca, name("admin", Some("system:masters")))?,
            manager: leaf(&ca, name("system:kube-controller-manager", None))?,
        };
        pki.write("ca.crt", &pki.ca_pem)?;
        pki.write("apiserver.crt", &server.0)?;
        pki.write("apiserver.key", &server.1)?;
        pki.write("accounts.key", &account_key.serialize_pem())?;
        pki.write("accounts.pub", &account_key.public_key_pem())?;
        Ok(pki)
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        std::fs::write(self.path(file), text).with_context(|| format!("write {file}"))
    }

    /// The path of one file.
    pub fn path(&self, file: &str) -> PathBuf {
        self.folder.join(file)
    }
}

/// A certificate for server and client use, with every name a control plane on loopback has.
fn leaf(ca: &CertifiedIssuer<'_, KeyPair>, subject: DistinguishedName) -> Result<(String, String)> {
    let names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
    let mut params = CertificateParams::new(names.map(str::to_owned).to_vec())?;
    for address in ["127.0.0.1", "10.0.0.1"] {
        params.subject_alt_names.push(SanType::IpAddress(address.parse()?));
    }
    params.distinguished_name = subject;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, ca)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

fn name(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name
}
