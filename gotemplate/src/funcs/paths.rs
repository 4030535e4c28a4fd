//! sprig's functions on slash-separated paths, by the rules of Go's `path` package.
//!
//! Start at [`register`].

use minijinja::Value;

use super::{Param, Registry};

pub(crate) fn register(r: &mut Registry) {
    const STR: &[Param] = &[Param::Str];
    r.add("base", STR, |_, a| Ok(Value::from(base(a.str(0)))));
    r.add("dir", STR, |_, a| Ok(Value::from(dir(a.str(0)))));
    r.add("clean", STR, |_, a| Ok(Value::from(clean(a.str(0)))));
    r.add("ext", STR, |_, a| Ok(Value::from(ext(a.str(0)))));
    r.add("isAbs", STR, |_, a| Ok(Value::from(a.str(0).starts_with('/'))));
    // On the systems that run charts these follow the same rules.
    for (os, name) in [
        ("osBase", "base"),
        ("osDir", "dir"),
        ("osClean", "clean"),
        ("osExt", "ext"),
        ("osIsAbs", "isAbs"),
    ] {
        r.alias(os, name);
    }
}

pub(crate) fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let trimmed = path.trim_end_matches('/');
    if trimmed.is_empty() {
        return "/";
    }
    trimmed.rsplit('/').next().unwrap_or(trimmed)
}

fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

fn ext(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rfind('.').map_or("", |dot| &name[dot..])
}

/// The shortest path that means the same.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if rooted => {}
            other => kept.push(other),
        }
    }
    match (rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => kept.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_follow_go() {
        assert_eq!((base(""), base("//"), base("a/b/")), (".", "/", "b"));
        assert_eq!((dir("a/b").as_str(), dir("/a").as_str(), dir("a").as_str()), ("a", "/", "."));
        assert_eq!(
            (clean("../a//./b/.."), clean("/../x"), clean("")),
            ("../a".into(), "/x".into(), ".".into())
        );
        assert_eq!((ext("a.b/c"), ext("a.tar.gz")), ("", ".gz"));
    }
}
