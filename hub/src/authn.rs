//! Who asks: bearer tokens of service accounts, client certificates, or nobody we know.
//!
//! Owns the making and checking of tokens and the reading of a certificate's subject. Knows nothing
//! of what a user may do. Start at [`Server::authenticate`].

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use serde_json::{Value, json};

use crate::User;
use crate::authz::Attributes;
use crate::error::ApiError;
use crate::meta;
use crate::server::Server;
use crate::store::Key;

const ISSUER: &str = "https://kubernetes.default.svc";
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// Longest token looked at.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Marks a request that came over a socket: without credentials it is anonymous.
#[derive(Debug, Clone, Default)]
pub(crate) struct Remote {
    /// The user of the verified client certificate.
    pub(crate) certificate: Option<User>,
}

/// Signs and verifies tokens (ES256).
pub(crate) struct Tokens {
    key: Option<EcdsaKeyPair>,
    random: SystemRandom,
    /// Tokens whose signature was found good, with their claims: a check costs 100 µs, a hit 1 µs.
    verified: Mutex<BTreeMap<String, Value>>,
}

impl Tokens {
    pub(crate) fn new(pkcs8: &[u8]) -> Tokens {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random).ok();
        Tokens { key, random, verified: Mutex::default() }
    }

    fn key(&self) -> Result<&EcdsaKeyPair, ApiError> {
        self.key.as_ref().ok_or_else(|| ApiError::internal("the token key is not usable"))
    }

    fn key_id(&self) -> String {
        use sha2::{Digest as _, Sha256};
        let public = self.key.as_ref().map(|k| k.public_key().as_ref().to_vec());
        URL_SAFE_NO_PAD.encode(Sha256::digest(public.unwrap_or_default()))
    }

    fn sign(&self, claims: &Value) -> Result<String, ApiError> {
        let head = json!({"alg": "ES256", "kid": self.key_id()});
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(head.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = self.key()?.sign(&self.random, text.as_bytes());
        let signature = signature.map_err(|_| ApiError::internal("a token could not be signed"))?;
        Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())))
    }

    /// The claims of a token that we signed.
    fn verify(&self, token: &str) -> Option<Value> {
        const MAX_CACHED_COUNT: usize = 10_000;
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let lock = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(claims) = lock().get(token) {
            return Some(claims.clone());
        }
        let (text, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = self.key.as_ref()?.public_key();
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public.as_ref());
        key.verify(text.as_bytes(), &signature).ok()?;
        let claims = URL_SAFE_NO_PAD.decode(text.split_once('.')?.1).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let mut verified = lock();
        if verified.len() >= MAX_CACHED_COUNT {
            verified.clear();
        }
        verified.insert(token.to_owned(), claims.clone());
        Some(claims)
    }

    /// `/openid/v1/jwks`
    pub(crate) fn jwks(&self) -> Value {
        let Some(key) = &self.key else { return json!({"keys": []}) };
        // An uncompressed point: 0x04, x, y.
        let point = key.public_key().as_ref();
        let part = |range: std::ops::Range<usize>| {
            URL_SAFE_NO_PAD.encode(point.get(range).unwrap_or_default())
        };
        json!({"keys": [{"use": "sig", "kty": "EC", "kid": self.key_id(), "crv": "P-256",
            "alg": "ES256", "x": part(1..33), "y": part(33..65)}]})
    }

    /// `/.well-known/openid-configuration`
    pub(crate) fn openid_configuration() -> Value {
        json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/openid/v1/jwks"),
            "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"]})
    }

    /// A token that lives as long as its Secret.
    pub(crate) fn for_secret(&self, account: &Value, secret: &str) -> Result<String, ApiError> {
        let (namespace, name) = (meta::text(account, "namespace"), meta::text(account, "name"));
        self.sign(&json!({
            "iss": LEGACY_ISSUER,
            "kubernetes.io/serviceaccount/namespace": namespace,
            "kubernetes.io/serviceaccount/secret.name": secret,
            "kubernetes.io/serviceaccount/service-account.name": name,
            "kubernetes.io/serviceaccount/service-account.uid": meta::text(account, "uid"),
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
        }))
    }

    /// A token with an end (TokenRequest).
    pub(crate) fn for_request(
        &self,
        account: &Value,
        audiences: &[String],
        times: (i64, i64),
        id: &str,
    ) -> Result<String, ApiError> {
        let (namespace, name) = (meta::text(account, "namespace"), meta::text(account, "name"));
        let (issued, expires) = times;
        self.sign(&json!({
            "aud": audiences, "exp": expires, "iat": issued, "nbf": issued, "iss": ISSUER, "jti": id,
            "kubernetes.io": {"namespace": namespace,
                "serviceaccount": {"name": name, "uid": meta::text(account, "uid")}},
            "sub": format!("system:serviceaccount:{namespace}:{name}"),
        }))
    }

    pub(crate) fn default_audiences() -> Vec<String> {
        vec![ISSUER.to_owned()]
    }
}

impl Server {
    /// The user behind a request.
    pub(crate) fn authenticate(
        &self,
        authorization: &str,
        extension: Option<&User>,
        remote: Option<&Remote>,
    ) -> Result<User, ApiError> {
        let token = authorization.strip_prefix("Bearer ").or(authorization.strip_prefix("bearer "));
        if let Some(token) = token {
            return self.user_of_token(token.trim()).ok_or_else(ApiError::unauthorized);
        }
        if let Some(user) = extension.or(remote.and_then(|r| r.certificate.as_ref())) {
            return Ok(user.clone());
        }
        Ok(match remote {
            None => User::administrator(),
            Some(_) => User {
                name: "system:anonymous".to_owned(),
                groups: vec!["system:unauthenticated".to_owned()],
                uid: String::new(),
            },
        })
    }

    /// The user whom an administrator wants to be (`kubectl --as`).
    pub(crate) fn impersonate(
        &self,
        user: User,
        headers: &http::HeaderMap,
    ) -> Result<User, ApiError> {
        let text = |v: &http::HeaderValue| v.to_str().unwrap_or_default().to_owned();
        let Some(name) = headers.get("impersonate-user").map(text) else { return Ok(user) };
        let mut groups: Vec<String> =
            headers.get_all("impersonate-group").iter().map(text).collect();
        let wish = |resource: &str, name: &str| Attributes {
            verb: "impersonate".to_owned(),
            resource: resource.to_owned(),
            name: name.to_owned(),
            ..Attributes::default()
        };
        self.authorize(&user, &wish("users", &name))?;
        for group in &groups {
            self.authorize(&user, &wish("groups", group))?;
        }
        if let Some(account) = name.strip_prefix("system:serviceaccount:") {
            let (namespace, name) = account.split_once(':').unwrap_or((account, ""));
            groups.extend(service_account(namespace, name, "").groups);
        } else if name != "system:anonymous" && !groups.iter().any(|g| g == "system:authenticated")
        {
            groups.push("system:authenticated".to_owned());
        }
        Ok(User { name, groups, uid: String::new() })
    }

    /// The service account of a token that is good now.
    pub(crate) fn user_of_token(&self, token: &str) -> Option<User> {
        let claims = self.tokens.verify(token)?;
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let (namespace, name, uid, secret);
        if claims["iss"] == LEGACY_ISSUER {
            let claim =
                |field: &str| text(&claims[format!("kubernetes.io/serviceaccount/{field}")]);
            namespace = claim("namespace")?;
            name = claim("service-account.name")?;
            uid = claim("service-account.uid")?;
            secret = claim("secret.name");
        } else {
            let now = self.world.now().as_second();
            if claims["exp"].as_i64()? <= now || claims["nbf"].as_i64()? > now + 60 {
                return None;
            }
            let account = &claims["kubernetes.io"];
            namespace = text(&account["namespace"])?;
            name = text(&account["serviceaccount"]["name"])?;
            uid = text(&account["serviceaccount"]["uid"])?;
            secret = None;
        }
        let key = |resource: &str, name: &str| Key::new(&resource.into(), Some(&namespace), name);
        let account = self.store.get(&key("/serviceaccounts", &name))?.value();
        if meta::text(&account, "uid") != uid {
            return None;
        }
        if let Some(secret) = secret {
            // A token dies with its Secret.
            self.store.get(&key("/secrets", &secret))?;
        }
        Some(service_account(&namespace, &name, &uid))
    }
}

fn service_account(namespace: &str, name: &str, uid: &str) -> User {
    User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ],
        uid: uid.to_owned(),
    }
}

/// The user that a verified client certificate (DER) names: CN and every O.
pub(crate) fn user_of_certificate(der: &[u8]) -> Option<User> {
    const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    const ORGANIZATION: &[u8] = &[0x55, 4, 10];
    let (_, certificate, _) = element(der)?;
    let (_, mut rest, _) = element(certificate)?;
    // TBSCertificate: [0] version, serial, algorithm, issuer, validity, subject.
    let mut fields = Vec::new();
    while let (Some((tag, content, after)), true) = (element(rest), fields.len() < 5) {
        rest = after;
        if tag != 0xa0 {
            fields.push(content);
        }
    }
    let mut subject = *fields.get(4)?;
    let (mut name, mut groups) = (None, Vec::new());
    while let Some((_, set, after)) = element(subject) {
        subject = after;
        let (_, pair, _) = element(set)?;
        let (_, oid, value) = element(pair)?;
        let (_, value, _) = element(value)?;
        let text = String::from_utf8_lossy(value).into_owned();
        match oid {
            COMMON_NAME => name = Some(text),
            ORGANIZATION => groups.push(text),
            _ => {}
        }
    }
    groups.push("system:authenticated".to_owned());
    Some(User { name: name?, groups, uid: String::new() })
}

/// One DER element: tag, content, what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        let (bytes, rest) = rest.split_at_checked(count).filter(|_| count <= 4)?;
        (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
