//! sprig's keys and certificates: genPrivateKey, genCA, genSignedCert and their relatives.
//!
//! Clock and randomness are the host's, so a render can be repeated. Start at [`register`].

use std::any::Any;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::Value;
use p256::pkcs8::LineEnding;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SigningKey,
};
use rsa::pkcs1::{DecodeRsaPrivateKey as _, EncodeRsaPrivateKey as _, EncodeRsaPublicKey as _};
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use sha2::Digest as _;

use super::convert::text_of;
use super::rsa_key::new_rsa_key;
use super::{Args, Cx, FuncResult, Param, Registry};
use crate::error::FuncError;
use crate::value::{self, GoObject, downcast, native};

pub(crate) fn register(r: &mut Registry) {
    use Param::{Any, Int, Str};
    r.add("genPrivateKey", &[Str], |cx, a| Ok(Value::from(private_key(cx, a.str(0))?)));
    r.add("buildCustomCert", &[Str, Str], |_, a| custom(a.str(0), a.str(1)));
    r.add("genCA", &[Str, Int], |cx, a| authority(cx, a, &Key::generate(cx)?));
    r.add("genCAWithKey", &[Str, Int, Str], |cx, a| authority(cx, a, &Key::read(a.str(2))?));
    r.add("genSelfSignedCert", &[Str, Any, Any, Int], |cx, a| {
        self_signed(cx, a, &Key::generate(cx)?)
    });
    r.add("genSelfSignedCertWithKey", &[Str, Any, Any, Int, Str], |cx, a| {
        self_signed(cx, a, &Key::read(a.str(4))?)
    });
    r.add("genSignedCert", &[Str, Any, Any, Int, Any], |cx, a| signed(cx, a, &Key::generate(cx)?));
    r.add("genSignedCertWithKey", &[Str, Any, Any, Int, Any, Str], |cx, a| {
        signed(cx, a, &Key::read(a.str(5))?)
    });
}

/// RSA keys cost what they take, so that a loop over them meets the bound of steps.
const RSA_STEPS: u64 = 200_000;

/// sprig's `certificate`: PEM texts in the fields `Cert` and `Key`.
#[derive(Debug)]
struct Certificate {
    cert: String,
    key: String,
}

impl GoObject for Certificate {
    fn type_name(&self) -> &'static str {
        "sprig.certificate"
    }

    fn field(&self, name: &str) -> Option<Value> {
        match name {
            "Cert" => Some(Value::from(self.cert.as_str())),
            "Key" => Some(Value::from(self.key.as_str())),
            _ => None,
        }
    }

    fn print(&self) -> String {
        format!("{{{} {}}}", self.cert, self.key)
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({ "Cert": self.cert, "Key": self.key })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// An RSA key that signs certificates.
struct Key {
    key: RsaPrivateKey,
    public_der: Vec<u8>,
}

impl Key {
    fn generate(cx: &Cx<'_>) -> Result<Self, FuncError> {
        cx.budget().take_steps(RSA_STEPS)?;
        Self::of(new_rsa_key(cx, 2048)?)
    }

    fn read(pem: &str) -> Result<Self, FuncError> {
        let key =
            RsaPrivateKey::from_pkcs1_pem(pem).or_else(|_| RsaPrivateKey::from_pkcs8_pem(pem));
        Self::of(
            key.map_err(|_| "parsing private key: only RSA keys in PEM form sign certificates")?,
        )
    }

    fn of(key: RsaPrivateKey) -> Result<Self, FuncError> {
        let der = key.to_public_key().to_pkcs1_der();
        let public_der = der.map_err(|error| error.to_string())?.as_bytes().to_vec();
        Ok(Self { key, public_der })
    }

    fn pem(&self) -> Result<String, FuncError> {
        let pem = self.key.to_pkcs1_pem(LineEnding::LF).map_err(|error| error.to_string())?;
        Ok(pem.to_string())
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        &self.public_der
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

/// The DER prefix that names SHA-256 in a PKCS #1 v1.5 signature (RFC 8017, section 9.2).
const SHA256_PREFIX: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05,
    0x00, 0x04, 0x20,
];

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let scheme = Pkcs1v15Sign { hash_len: Some(32), prefix: SHA256_PREFIX.into() };
        let digest = sha2::Sha256::digest(message);
        self.key.sign(scheme, &digest).map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

fn private_key(cx: &Cx<'_>, kind: &str) -> Result<String, FuncError> {
    match kind {
        "" | "rsa" => {
            cx.budget().take_steps(RSA_STEPS * 4)?;
            Key::of(new_rsa_key(cx, 4096)?)?.pem()
        }
        "ecdsa" => {
            let mut seed = [0; 32];
            let key = loop {
                cx.host().fill_random(&mut seed);
                if let Ok(key) = p256::SecretKey::from_slice(&seed) {
                    break key;
                }
            };
            Ok(key.to_sec1_pem(LineEnding::LF).map_err(|e| e.to_string())?.to_string())
        }
        "ed25519" => {
            // RFC 8410: a fixed header and the 32 bytes of the seed.
            let mut der =
                vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
            let mut seed = [0; 32];
            cx.host().fill_random(&mut seed);
            der.extend(seed);
            Ok(pem_block("PRIVATE KEY", &der))
        }
        "dsa" => Err("DSA keys are not served; use rsa, ecdsa or ed25519".into()),
        other => Ok(format!("Unknown type {other}")),
    }
}

fn pem_block(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    for line in text.as_bytes().chunks(64) {
        out.push_str(&String::from_utf8_lossy(line));
        out.push('\n');
    }
    out.push_str(&format!("-----END {label}-----\n"));
    out
}

fn custom(cert: &str, key: &str) -> FuncResult {
    let decode = |text: &str, what: &str| -> Result<String, FuncError> {
        let bytes = STANDARD.decode(text).map_err(|_| format!("unable to decode base64 {what}"))?;
        let pem = String::from_utf8(bytes).unwrap_or_default();
        let whole = pem.contains("-----BEGIN") && pem.contains("-----END");
        if whole { Ok(pem) } else { Err(format!("unable to decode {what}").into()) }
    };
    let (cert, key) = (decode(cert, "certificate")?, decode(key, "private key")?);
    Ok(native(Certificate { cert, key }))
}

/// What every certificate shares: name, serial number, validity.
fn template(cx: &Cx<'_>, common_name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    let mut serial = [0; 16];
    cx.host().fill_random(&mut serial);
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let now = u64::try_from(cx.host().now_unix_nanos() / 1_000_000_000).unwrap_or(0);
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let lifetime = u64::try_from(days).unwrap_or(0).min(MAX_DAYS) * 86_400;
    params.not_before = epoch + Duration::from_secs(now);
    params.not_after = epoch + Duration::from_secs(now + lifetime);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

/// A thousand years; what a certificate can hold ends with the year 9999.
const MAX_DAYS: u64 = 365_250;

fn key_id(key: &Key) -> KeyIdMethod {
    KeyIdMethod::PreSpecified(sha2::Sha256::digest(&key.public_der)[..20].to_vec())
}

fn authority(cx: &Cx<'_>, a: Args<'_>, key: &Key) -> FuncResult {
    let mut params = template(cx, a.str(0), a.int(1));
    params.key_usages.push(KeyUsagePurpose::KeyCertSign);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_identifier_method = key_id(key);
    finish(params.self_signed(key), key)
}

fn self_signed(cx: &Cx<'_>, a: Args<'_>, key: &Key) -> FuncResult {
    finish(leaf(cx, a)?.self_signed(key), key)
}

fn signed(cx: &Cx<'_>, a: Args<'_>, key: &Key) -> FuncResult {
    let ca = downcast::<Certificate>(a.get(4)).ok_or_else(|| {
        let found = value::type_name(a.get(4));
        format!("wrong type for value; expected sprig.certificate; got {found}")
    })?;
    let issuer = Issuer::from_ca_cert_pem(&ca.cert, Key::read(&ca.key)?)
        .map_err(|error| format!("error parsing certificate: {error}"))?;
    finish(leaf(cx, a)?.signed_by(key, &issuer), key)
}

fn leaf(cx: &Cx<'_>, a: Args<'_>) -> Result<CertificateParams, FuncError> {
    let mut params = template(cx, a.str(0), a.int(3));
    params.is_ca = IsCa::ExplicitNoCa;
    for ip in value::as_list(a.get(1)).unwrap_or_default() {
        let text = ip
            .as_str()
            .ok_or_else(|| format!("error parsing ip: {} is not a string", text_of(ip)))?;
        let ip = text.parse().map_err(|_| format!("error parsing ip: {text}"))?;
        params.subject_alt_names.push(SanType::IpAddress(ip));
    }
    for name in value::as_list(a.get(2)).unwrap_or_default() {
        let text = name.as_str().ok_or_else(|| {
            format!("error processing alternate dns name: {} is not a string", text_of(name))
        })?;
        let name = text.try_into().map_err(|_| format!("not a DNS name: {text}"))?;
        params.subject_alt_names.push(SanType::DnsName(name));
    }
    Ok(params)
}

fn finish(cert: Result<rcgen::Certificate, rcgen::Error>, key: &Key) -> FuncResult {
    let cert = cert.map_err(|error| format!("error creating certificate: {error}"))?;
    Ok(native(Certificate { cert: pem_block("CERTIFICATE", cert.der()), key: key.pem()? }))
}
