//! From path, method and query to what is asked for.
//!
//! Owns the URL grammar of the Kubernetes API. Pure; knows nothing of which kinds exist.
//! Start at [`Route::parse`].

use std::collections::BTreeMap;

/// One resource path, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourcePath {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: Option<String>,
    pub(crate) plural: String,
    pub(crate) name: Option<String>,
    pub(crate) subresource: Option<String>,
}

/// What a path points at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Route {
    Resource(ResourcePath),
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/{group}`
    Group(String),
    /// `/api/v1`, `/apis/{group}/{version}`
    Resources {
        group: String,
        version: String,
    },
    OpenApiV2,
    OpenApiV3Index,
    /// `/openapi/v3/{api/v1 | apis/group/version}`
    OpenApiV3(String),
    Version,
    /// `/healthz`, `/livez`, `/readyz`
    Health,
    /// `/.well-known/openid-configuration`
    OpenIdConfiguration,
    /// `/openid/v1/jwks`
    Jwks,
    Root,
    Unknown,
}

impl Route {
    /// Reads a path. Segments are percent-decoded.
    pub(crate) fn parse(path: &str) -> Route {
        let segments: Vec<String> = path.split('/').filter(|s| !s.is_empty()).map(decode).collect();
        let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
        match parts.as_slice() {
            [] => Route::Root,
            ["api"] => Route::CoreVersions,
            ["apis"] => Route::Groups,
            ["apis", group] => Route::Group((*group).to_owned()),
            ["api", version] => {
                Route::Resources { group: String::new(), version: (*version).into() }
            }
            ["apis", group, version] => {
                Route::Resources { group: (*group).into(), version: (*version).into() }
            }
            ["api", version, rest @ ..] => resource("", version, rest),
            ["apis", group, version, rest @ ..] => resource(group, version, rest),
            ["openapi", "v2"] => Route::OpenApiV2,
            ["openapi", "v3"] => Route::OpenApiV3Index,
            ["openapi", "v3", rest @ ..] => Route::OpenApiV3(rest.join("/")),
            ["version"] => Route::Version,
            ["healthz" | "livez" | "readyz", ..] => Route::Health,
            [".well-known", "openid-configuration"] => Route::OpenIdConfiguration,
            ["openid", "v1", "jwks"] => Route::Jwks,
            _ => Route::Unknown,
        }
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Route {
    let mut path = ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        ..ResourcePath::default()
    };
    let own = |s: &&str| Some((*s).to_owned());
    let tail = match rest {
        // `namespaces/{name}/status` is the namespace's own subresource, not a resource in it.
        ["namespaces", _, "status" | "finalize"] | ["namespaces"] | ["namespaces", _] => rest,
        ["namespaces", namespace, tail @ ..] => {
            path.namespace = own(namespace);
            tail
        }
        _ => rest,
    };
    match tail {
        [plural] => path.plural = (*plural).to_owned(),
        [plural, name] => {
            path.plural = (*plural).to_owned();
            path.name = own(name);
        }
        [plural, name, subresource] => {
            path.plural = (*plural).to_owned();
            path.name = own(name);
            path.subresource = own(subresource);
        }
        _ => return Route::Unknown,
    }
    Route::Resource(path)
}

/// The query string, decoded; of a repeated parameter the first counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Query(BTreeMap<String, String>);

impl Query {
    pub(crate) fn parse(query: &str) -> Query {
        let mut all = BTreeMap::new();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plus = |s: &str| decode(&s.replace('+', " "));
            all.entry(plus(key)).or_insert_with(|| plus(value));
        }
        Query(all)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|v| !v.is_empty())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Go's `strconv.ParseBool`, and a bare `?watch` counts as true.
    pub(crate) fn flag(&self, name: &str) -> bool {
        matches!(
            self.0.get(name).map(String::as_str),
            Some("" | "1" | "t" | "T" | "true" | "TRUE" | "True")
        )
    }

    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        if self.0.contains_key(name) { self.flag(name) } else { default }
    }

    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    pub(crate) fn is_dry_run(&self) -> bool {
        self.text("dryRun").is_some()
    }
}

/// Percent-decodes; a stray `%` stays as it is.
fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let hex = text.get(i + 1..i + 3).and_then(|h| u8::from_str_radix(h, 16).ok());
        match hex {
            Some(value) if byte == b'%' => {
                out.push(value);
                i += 3;
            }
            _ => {
                out.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> ResourcePath {
        match Route::parse(text) {
            Route::Resource(path) => path,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_namespace_is_an_object_and_a_scope() {
        let own = path("/api/v1/namespaces/a/status");
        assert_eq!((own.plural.as_str(), own.name.as_deref()), ("namespaces", Some("a")));
        assert_eq!(own.subresource.as_deref(), Some("status"));
        let inside = path("/api/v1/namespaces/a/pods/b");
        assert_eq!((inside.namespace.as_deref(), inside.name.as_deref()), (Some("a"), Some("b")));
    }

    #[test]
    fn a_query_may_start_with_an_ampersand_and_is_decoded() {
        let query =
            Query::parse("&limit=500&fieldSelector=metadata.name%3Dx&labelSelector=a+in+%28b%29");
        assert_eq!(query.number("limit"), Some(500));
        assert_eq!(query.text("fieldSelector"), Some("metadata.name=x"));
        assert_eq!(query.text("labelSelector"), Some("a in (b)"));
    }
}
