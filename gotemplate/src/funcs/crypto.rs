//! sprig's passwords, ciphers and identifiers: htpasswd, bcrypt, derivePassword, AES, random bytes, UUIDs.
//!
//! Certificates are in [`super::certs`]. All randomness is the host's. Start at [`register`].

use aes::cipher::{
    BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _, block_padding::Pkcs7,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{KeyInit as _, Mac as _};
use minijinja::Value;

use super::{Args, Cx, FuncResult, Param, Registry};
use crate::error::FuncError;

pub(crate) fn register(r: &mut Registry) {
    use Param::{Int, Str};
    r.add("bcrypt", &[Str], |cx, a| Ok(Value::from(bcrypt_hash(cx, a.str(0))?)));
    r.add("htpasswd", &[Str, Str], |cx, a| {
        if a.str(0).contains(':') {
            return Ok(Value::from(format!("invalid username: {}", a.str(0))));
        }
        Ok(Value::from(format!("{}:{}", a.str(0), bcrypt_hash(cx, a.str(1))?)))
    });
    r.add("derivePassword", &[Int, Str, Str, Str, Str], derive_password);
    r.add("encryptAES", &[Str, Str], |cx, a| {
        let mut iv = [0; 16];
        cx.host().fill_random(&mut iv);
        let cipher = cbc::Encryptor::<aes::Aes256>::new(&aes_key(a.str(0)).into(), &iv.into());
        let (text, mut buffer) = (a.str(1).as_bytes(), iv.to_vec());
        // The padding takes at most one block.
        buffer.extend_from_slice(text);
        buffer.resize(16 + text.len() + 16, 0);
        let sealed = cipher.encrypt_padded::<Pkcs7>(&mut buffer[16..], text.len());
        let sealed_len = sealed.map_err(|error| error.to_string())?.len();
        Ok(Value::from(STANDARD.encode(&buffer[..16 + sealed_len])))
    });
    r.add("decryptAES", &[Str, Str], |_, a| decrypt(a));
    r.add("randBytes", &[Int], |cx, a| {
        let mut bytes = vec![0; usize::try_from(a.int(0)).unwrap_or(0).min(MAX_RANDOM_BYTES)];
        cx.host().fill_random(&mut bytes);
        let text = STANDARD.encode(bytes);
        cx.budget().take_output(text.len())?;
        Ok(Value::from(text))
    });
    r.add("uuidv4", &[], |cx, _| Ok(Value::from(uuid(cx))));
}

/// The most that one call of `randBytes` gives.
const MAX_RANDOM_BYTES: usize = 1 << 20;
/// Expensive functions cost what they take, so that a loop over them meets the bound of steps.
const BCRYPT_STEPS: u64 = 20_000;
const SCRYPT_STEPS: u64 = 100_000;
const BCRYPT_COST: u32 = 10;

fn bcrypt_hash(cx: &Cx<'_>, password: &str) -> Result<String, FuncError> {
    cx.budget().take_steps(BCRYPT_STEPS)?;
    let mut salt = [0; 16];
    cx.host().fill_random(&mut salt);
    let hash = bcrypt::non_truncating_hash_with_salt(password, BCRYPT_COST, salt);
    let hash =
        hash.map_err(|_| "failed to encrypt string with bcrypt: password length exceeds 72 bytes")?;
    Ok(hash.format_for_version(bcrypt::Version::TwoA))
}

/// The password's bytes, cut or filled with zeros to 32.
fn aes_key(password: &str) -> [u8; 32] {
    let mut key = [0; 32];
    let count = password.len().min(32);
    key[..count].copy_from_slice(&password.as_bytes()[..count]);
    key
}

fn decrypt(a: Args<'_>) -> FuncResult {
    if a.str(1).is_empty() {
        return Ok(Value::from(""));
    }
    let mut bytes = STANDARD.decode(a.str(1)).map_err(|_| "illegal base64 data")?;
    let (iv, sealed) = bytes.split_at_mut_checked(16).ok_or("ciphertext has no header")?;
    let iv: [u8; 16] = (&*iv).try_into().map_err(|_| "ciphertext has no header")?;
    let cipher = cbc::Decryptor::<aes::Aes256>::new(&aes_key(a.str(0)).into(), &iv.into());
    let opened = cipher.decrypt_padded::<Pkcs7>(sealed);
    let opened = opened.map_err(|_| "ciphertext does not open with this password")?;
    Ok(Value::from(String::from_utf8_lossy(opened).into_owned()))
}

fn uuid(cx: &Cx<'_>) -> String {
    let mut bytes = [0u8; 16];
    cx.host().fill_random(&mut bytes);
    let bits = (u128::from_be_bytes(bytes) & !(0xf << 76) & !(0x3 << 62)) | (4 << 76) | (2 << 62);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

const MASTER_SEED: &[u8] = b"com.lyndir.masterpassword";

/// The templates of the Master Password algorithm, version 3; a seed byte picks one.
fn password_templates(kind: &str) -> Option<Vec<String>> {
    let texts: &[&str] = match kind {
        "maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        "medium" => &["CvcnoCvc", "CvcCvcno"],
        "short" => &["Cvcn"],
        "basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        "pin" => &["nnnn"],
        "long" => return Some(long_templates()),
        _ => return None,
    };
    Some(texts.iter().map(|text| (*text).to_owned()).collect())
}

/// Three syllable groups with `no` behind the first, second or third of them.
fn long_templates() -> Vec<String> {
    let shapes = [
        ["Cvcv", "Cvcv", "Cvcv"],
        ["Cvcc", "Cvcv", "Cvcv"],
        ["Cvcv", "Cvcc", "Cvcv"],
        ["Cvcv", "Cvcv", "Cvcc"],
        ["Cvcc", "Cvcc", "Cvcv"],
        ["Cvcv", "Cvcc", "Cvcc"],
        ["Cvcc", "Cvcv", "Cvcc"],
    ];
    let with_digits = |groups: [&'static str; 3]| {
        (1..=3).map(move |at| format!("{}no{}", groups[..at].concat(), groups[at..].concat()))
    };
    shapes.into_iter().flat_map(with_digits).collect()
}

fn password_chars(class: char) -> &'static str {
    match class {
        'V' => "AEIOU",
        'C' => "BCDFGHJKLMNPQRSTVWXYZ",
        'v' => "aeiou",
        'c' => "bcdfghjklmnpqrstvwxyz",
        'A' => "AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        'a' => "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        'n' => "0123456789",
        'o' => "@&%?,=[]_:-+*$#!'^~;()/.",
        _ => "AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

fn derive_password(cx: &Cx<'_>, a: Args<'_>) -> FuncResult {
    let (kind, password, user, site) = (a.str(1), a.str(2), a.str(3), a.str(4));
    let Some(templates) = password_templates(kind) else {
        return Ok(Value::from(format!("cannot find password template {kind}")));
    };
    cx.budget().take_steps(SCRYPT_STEPS)?;
    let sized = |text: &str| {
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
        [MASTER_SEED, &len, text.as_bytes()].concat()
    };
    let params = scrypt::Params::new(15, 8, 2).map_err(|error| error.to_string())?;
    let mut key = [0; 64];
    scrypt::scrypt(password.as_bytes(), &sized(user), &params, &mut key)
        .map_err(|error| format!("failed to derive password: {error}"))?;
    let mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key);
    let mut mac = mac.map_err(|error| error.to_string())?;
    mac.update(&sized(site));
    mac.update(&u32::try_from(a.int(0)).unwrap_or_default().to_be_bytes());
    let seed = mac.finalize().into_bytes();
    let template = &templates[usize::from(seed[0]) % templates.len()];
    let pick = |(index, class): (usize, char)| {
        let chars = password_chars(class).as_bytes();
        char::from(chars[usize::from(seed[index + 1]) % chars.len()])
    };
    Ok(Value::from(template.chars().enumerate().map(pick).collect::<String>()))
}
