//! sprig's `urlParse` and `urlJoin`, by the rules of Go's `net/url`.
//!
//! Start at [`register`].

use minijinja::Value;

use super::convert::text_of;
use super::{Args, FuncResult, Param, Registry};
use crate::error::FuncError;
use crate::print::quote;
use crate::value::{Dict, Entries, dict};

pub(crate) fn register(r: &mut Registry) {
    r.add("urlParse", &[Param::Str], |_, a| parse(a.str(0)));
    r.add("urlJoin", &[Param::Dict], |_, a| join(a));
    // Helm answers without asking any name server unless told otherwise; so do we, always.
    r.add("getHostByName", &[Param::Str], |_, _| Ok(Value::from("")));
}

fn parse(text: &str) -> FuncResult {
    let fail =
        |why: &str| FuncError::new(format!("unable to parse url: parse {}: {why}", quote(text)));
    if text.chars().any(|c| c.is_ascii_control()) {
        return Err(fail("net/url: invalid control character in URL"));
    }
    let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (scheme, rest) = match rest.split_once(':') {
        Some(("", _)) => return Err(fail("missing protocol scheme")),
        Some((scheme, after)) if is_scheme(scheme) => (scheme.to_ascii_lowercase(), after),
        _ => (String::new(), rest),
    };
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (mut userinfo, mut host, mut path, mut opaque) = ("", "", rest, "");
    if let Some(after) = rest.strip_prefix("//") {
        let slash = after.find('/').unwrap_or(after.len());
        let (authority, tail) = after.split_at(slash);
        (userinfo, host) = authority.rsplit_once('@').unwrap_or(("", authority));
        path = tail;
        check_port(host)
            .map_err(|port| fail(&format!("invalid port {} after host", quote(port))))?;
    } else if !scheme.is_empty() && !rest.starts_with('/') {
        (opaque, path) = (rest, "");
    }
    let path =
        unescape(path).map_err(|escape| fail(&format!("invalid URL escape {}", quote(&escape))))?;
    let hostname = host_of(host).to_owned();
    let fields = [
        ("scheme", scheme),
        ("host", host.to_owned()),
        ("hostname", hostname),
        ("path", path),
        ("query", query.to_owned()),
        ("opaque", opaque.to_owned()),
        (
            "fragment",
            unescape(fragment)
                .map_err(|escape| fail(&format!("invalid URL escape {}", quote(&escape))))?,
        ),
        ("userinfo", userinfo.to_owned()),
    ];
    Ok(dict(
        fields.into_iter().map(|(key, text)| (key.into(), Value::from(text))).collect::<Entries>(),
    ))
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn host_of(host: &str) -> &str {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.split(']').next().unwrap_or(inner);
    }
    host.split(':').next().unwrap_or(host)
}

/// The text from the colon on, when it is no port.
fn check_port(host: &str) -> Result<(), &str> {
    let from = if host.starts_with('[') { host.find(']').unwrap_or(0) } else { 0 };
    match host[from..].find(':') {
        Some(colon) if !host[from + colon + 1..].bytes().all(|b| b.is_ascii_digit()) => {
            Err(&host[from + colon..])
        }
        _ => Ok(()),
    }
}

// Percent escapes resolved, or the one that is none.
fn unescape(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        if *byte != b'%' {
            out.push(*byte);
            at += 1;
            continue;
        }
        let end = (at + 3).min(text.len());
        let pair =
            text.get(at + 1..at + 3).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        let wrong = || String::from_utf8_lossy(&text.as_bytes()[at..end]).into_owned();
        out.push(code.ok_or_else(wrong)?);
        at = end;
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}

fn escape(text: &str, plain: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn join(a: Args<'_>) -> FuncResult {
    let part = |key: &str| field(a.dict(0), key);
    let (scheme, host, path) = (part("scheme")?, part("host")?, part("path")?);
    let (userinfo, opaque) = (part("userinfo")?, part("opaque")?);
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(&scheme);
        out.push(':');
    }
    if opaque.is_empty() {
        if !scheme.is_empty() || !host.is_empty() || !userinfo.is_empty() {
            if !host.is_empty() || !path.is_empty() || !userinfo.is_empty() {
                out.push_str("//");
            }
            if !userinfo.is_empty() {
                out.push_str(&userinfo);
                out.push('@');
            }
            out.push_str(&escape(&host, b"-._~!$&'()*+,;=:[]<>\""));
        }
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push('/');
        }
        out.push_str(&escape(&path, b"-._~$&+,/:;=@!'()*"));
    } else {
        out.push_str(&opaque);
    }
    let (query, fragment) = (part("query")?, part("fragment")?);
    if !query.is_empty() {
        out.push('?');
        out.push_str(&query);
    }
    if !fragment.is_empty() {
        out.push('#');
        out.push_str(&escape(&fragment, b"-._~$&+,/:;=?@!'()*"));
    }
    Ok(Value::from(out))
}

fn field(map: Option<&Dict>, key: &str) -> Result<String, FuncError> {
    match map.and_then(|map| map.get(key)) {
        None => Ok(String::new()),
        Some(value) if value.as_str().is_some() => Ok(text_of(&value)),
        Some(value) => Err(FuncError::new(format!(
            "unable to parse {key} key, must be of type string, but {} found",
            crate::value::kind_name(&value)
        ))),
    }
}
