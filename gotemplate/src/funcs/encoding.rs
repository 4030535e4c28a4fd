//! sprig's encodings and checksums: base64, base32, JSON, SHA, Adler.
//!
//! Start at [`register`].

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minijinja::Value;
use sha2::Digest as _;

use super::{Cx, FuncResult, Param, Registry};
use crate::value;

pub(crate) fn register(r: &mut Registry) {
    use Param::{Any, Str};
    r.add("b64enc", &[Str], |cx, a| bounded(cx, STANDARD.encode(a.str(0))));
    r.add("b64dec", &[Str], |_, a| Ok(decoded(decode_base64(a.str(0)))));
    r.add("b32enc", &[Str], |cx, a| bounded(cx, encode_base32(a.str(0).as_bytes())));
    r.add("b32dec", &[Str], |_, a| Ok(decoded(decode_base32(a.str(0)))));
    r.add("sha1sum", &[Str], |_, a| Ok(hex(&sha1::Sha1::digest(a.str(0)))));
    r.add("sha256sum", &[Str], |_, a| Ok(hex(&sha2::Sha256::digest(a.str(0)))));
    r.add("sha512sum", &[Str], |_, a| Ok(hex(&sha2::Sha512::digest(a.str(0)))));
    r.add("adler32sum", &[Str], |_, a| Ok(Value::from(adler32(a.str(0).as_bytes()).to_string())));
    r.add("toJson", &[Any], |cx, a| {
        // The plain name swallows errors, as sprig's does.
        let json = value::to_json(a.get(0)).map(|json| goyaml::json::to_string(&json));
        bounded(cx, json.unwrap_or_default())
    });
    r.add("mustToJson", &[Any], |cx, a| {
        bounded(cx, goyaml::json::to_string(&value::to_json(a.get(0))?))
    });
    r.add("toPrettyJson", &[Any], |cx, a| {
        bounded(cx, goyaml::json::to_string_pretty(&value::to_json(a.get(0))?))
    });
    r.alias("mustToPrettyJson", "toPrettyJson");
    r.add("toRawJson", &[Any], |cx, a| {
        bounded(cx, goyaml::json::to_string_raw(&value::to_json(a.get(0))?))
    });
    r.alias("mustToRawJson", "toRawJson");
    r.add("fromJson", &[Str], |_, a| {
        let json: serde_json::Value = goyaml::json::from_str(a.str(0)).unwrap_or_default();
        Ok(value::from_json_floats(&json))
    });
    r.add("mustFromJson", &[Str], |_, a| {
        let json: serde_json::Value =
            goyaml::json::from_str(a.str(0)).map_err(|error| error.to_string())?;
        Ok(value::from_json_floats(&json))
    });
}

fn bounded(cx: &Cx<'_>, text: String) -> FuncResult {
    cx.budget().take_output(text.len())?;
    Ok(Value::from(text))
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> Value {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    Value::from(out)
}

/// Decoded text, or the decoder's words: sprig gives its error as the result.
fn decoded(result: Result<Vec<u8>, String>) -> Value {
    match result {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Value::from(text),
            Err(error) => Value::from(String::from_utf8_lossy(error.as_bytes()).into_owned()),
        },
        Err(words) => Value::from(words),
    }
}

/// Standard base64; line breaks are skipped, an error names the offset that Go names.
fn decode_base64(text: &str) -> Result<Vec<u8>, String> {
    let compact: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD.decode(&compact).map_err(|_| {
        let is_symbol = |b: u8| b.is_ascii_alphanumeric() || b == b'+' || b == b'/';
        let bad = text.bytes().position(|b| !is_symbol(b) && !matches!(b, b'\r' | b'\n'));
        format!("illegal base64 data at input byte {}", bad.unwrap_or(text.len() / 4 * 4))
    })
}

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

fn encode_base32(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(5) * 8);
    for chunk in bytes.chunks(5) {
        let mut block = [0u8; 8];
        block[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(block);
        let symbol_count = (chunk.len() * 8).div_ceil(5);
        for index in 0..8 {
            if index < symbol_count {
                let symbol = (bits >> (35 - 5 * index)) & 31;
                out.push(char::from(BASE32[symbol as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

fn decode_base32(text: &str) -> Result<Vec<u8>, String> {
    let compact: Vec<u8> = text.bytes().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
    let body_len = compact.iter().position(|b| *b == b'=').unwrap_or(compact.len());
    let illegal = |at: usize| format!("illegal base32 data at input byte {at}");
    if let Some(at) = compact[..body_len].iter().position(|b| !BASE32.contains(b)) {
        return Err(illegal(at));
    }
    if !compact.len().is_multiple_of(8) {
        return Err(illegal(compact.len() / 8 * 8));
    }
    let (mut out, mut bits, mut bit_count) = (Vec::new(), 0u64, 0);
    for (at, symbol) in compact[..body_len].iter().enumerate() {
        let index = BASE32.iter().position(|b| b == symbol).ok_or_else(|| illegal(at))?;
        bits = (bits << 5) | index as u64;
        bit_count += 5;
        if bit_count >= 8 {
            bit_count -= 8;
            out.push((bits >> bit_count) as u8);
            bits &= (1 << bit_count) - 1;
        }
    }
    Ok(out)
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % MODULUS;
        b = (b + a) % MODULUS;
    }
    (b << 16) | a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base32_goes_both_ways() {
        for text in ["", "f", "fo", "foo", "foob", "fooba", "foobar"] {
            let encoded = encode_base32(text.as_bytes());
            assert_eq!(decode_base32(&encoded).unwrap(), text.as_bytes());
        }
        assert_eq!(encode_base32(b"foobar"), "MZXW6YTBOI======");
    }

    #[test]
    fn adler_matches_the_published_example() {
        assert_eq!(adler32(b"Wikipedia"), 0x11E6_0398);
    }
}
