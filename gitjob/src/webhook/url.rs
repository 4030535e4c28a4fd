//! Makes the many spellings of one repository's address equal.
//!
//! Start at [`normalise`].

/// `host/path` in lower case, without scheme, user and `.git`; `None` if it is no address.
///
/// Only an unusual port of a web address stays: servers on one host are told apart by it, while
/// an ssh port says nothing about the web address of the same repository.
///
/// Azure DevOps writes one repository in four ways; all become `dev.azure.com/org/project/repo`.
pub(crate) fn normalise(url: &str) -> Option<String> {
    let url = url.trim().to_lowercase();
    let (scheme, (host, path)) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme, rest.split_once('/')?),
        None => ("ssh", url.split_once(':')?),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let is_web = matches!(scheme, "http" | "https");
    let host = match host.rsplit_once(':') {
        Some((_, port)) if is_web && !matches!(port, "" | "80" | "443") => host,
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let path = path.split(['?', '#']).next()?.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path).trim_end_matches('/');
    if host.is_empty() || path.is_empty() {
        return None;
    }
    Some(azure(host, path).unwrap_or_else(|| format!("{host}/{path}")))
}

fn azure(host: &str, path: &str) -> Option<String> {
    let path = path.strip_prefix("v3/").unwrap_or(path).replace("/_git/", "/");
    if matches!(host, "dev.azure.com" | "ssh.dev.azure.com" | "vs-ssh.visualstudio.com") {
        return Some(format!("dev.azure.com/{path}"));
    }
    let organisation = host.strip_suffix(".visualstudio.com")?;
    let path = path.strip_prefix("defaultcollection/").unwrap_or(&path);
    Some(format!("dev.azure.com/{organisation}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spellings_of_one_repository_are_equal() {
        for url in [
            "https://github.com/Org/Repo",
            "https://user:pw@github.com/org/repo.git",
            "https://github.com:443/org/repo.git/",
            "git@github.com:Org/Repo.git",
            "ssh://git@github.com:22/org/repo",
        ] {
            assert_eq!(normalise(url).as_deref(), Some("github.com/org/repo"), "{url}");
        }
        for url in [
            "https://dev.azure.com/org/project/_git/repo",
            "https://org@dev.azure.com/org/project/_git/repo",
            "git@ssh.dev.azure.com:v3/org/project/repo",
            "https://org.visualstudio.com/DefaultCollection/project/_git/repo",
            "org@vs-ssh.visualstudio.com:v3/org/project/repo",
        ] {
            assert_eq!(normalise(url).as_deref(), Some("dev.azure.com/org/project/repo"), "{url}");
        }
        assert_ne!(normalise("https://a/b/c"), normalise("https://a/b/cd"));
        assert_ne!(normalise("http://a:3000/b"), normalise("http://a:4000/b"));
        assert_eq!(normalise("ssh://git@a:2222/b"), normalise("https://a/b"));
        assert_eq!(normalise("https://host/"), None);
        assert_eq!(normalise("nothing"), None);
    }
}
