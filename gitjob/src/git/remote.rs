//! Where a ref of a remote points.
//!
//! Owns remote urls, refs and the listing of refs over smart HTTP. Knows nothing of objects.
//! Start at [`resolve_head`].
//!
//! The listing is written out here instead of going through gix because it is what an idle process
//! does all day: it runs without a thread, on connections that stay open, in one request instead
//! of two once a server is known to speak protocol 2, and it tells a missing repository from a
//! missing branch from a refused password.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::Url;

use super::packet::{self, Packet};
use super::source::Source;
use super::{CommitId, GitError};
use crate::net::{Access, Ask, Credentials, Fetcher, NetError, Reply, redacted};

/// Longest listing we read: about 250,000 refs, for servers that cannot filter.
const LISTING_BYTES_MAX: u64 = 16 * 1024 * 1024;
const GIT_PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");
const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";

/// What of a repository is wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// The head of a branch.
    Branch(String),
    /// A tag, or else a branch of that name.
    Revision(String),
    /// One commit; needs no look at the server.
    Commit(CommitId),
}

impl Reference {
    /// From a GitRepo's fields: a revision wins over a branch, `master` is the default.
    #[must_use]
    pub fn of_spec(branch: &str, revision: &str) -> Self {
        match (CommitId::parse(revision), revision, branch) {
            (Some(commit), _, _) => Self::Commit(commit),
            (None, "", "") => Self::Branch("master".to_owned()),
            (None, "", branch) => Self::Branch(branch.to_owned()),
            (None, revision, _) => Self::Revision(revision.to_owned()),
        }
    }

    /// Full names to look for, the preferred one first.
    fn full_names(&self) -> Vec<String> {
        match self {
            Self::Branch(name) => vec![format!("refs/heads/{name}")],
            Self::Revision(name) if name.starts_with("refs/") => vec![name.clone()],
            Self::Revision(name) => vec![format!("refs/tags/{name}"), format!("refs/heads/{name}")],
            Self::Commit(_) => Vec::new(),
        }
    }
}

/// A repository on a server, and one ref or commit of it.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Address without credentials, query and trailing slash.
    url: Url,
    /// What is wanted.
    pub reference: Reference,
    /// Trust and credentials.
    pub access: Access,
    link: Arc<Link>,
}

/// What all remotes of a process share: connections, limits, and what is known of servers.
pub struct Link {
    fetcher: Arc<Fetcher>,
    timeout: Duration,
    /// Base address that answered, by configured address, for servers that speak protocol 2.
    version_2: Mutex<BTreeMap<String, Url>>,
    /// Folders of this machine are served too.
    serves_local: bool,
    /// Takes the place of all servers.
    source: Option<Arc<dyn Source>>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Link")
    }
}

impl Link {
    /// `timeout` is the limit of one listing (Fleet's `gitClientTimeout`, 30 s by default).
    #[must_use]
    pub fn new(fetcher: Arc<Fetcher>, timeout: Duration) -> Arc<Self> {
        Arc::new(Self::plain(fetcher, timeout))
    }

    fn plain(fetcher: Arc<Fetcher>, timeout: Duration) -> Self {
        let version_2 = Mutex::default();
        Self { fetcher, timeout, version_2, serves_local: false, source: None }
    }

    /// [`Link::new`], with `source` in the place of all servers.
    #[must_use]
    pub fn of_source(fetcher: Arc<Fetcher>, source: Arc<dyn Source>) -> Arc<Self> {
        Arc::new(Self { source: Some(source), ..Self::plain(fetcher, Duration::ZERO) })
    }

    /// [`Link::new`], with `file://` addresses served as well: for a process whose user owns the
    /// machine. Never where GitRepos come from others, who could read any repository on it.
    #[must_use]
    pub fn serving_local(fetcher: Arc<Fetcher>, timeout: Duration) -> Arc<Self> {
        Arc::new(Self { serves_local: true, ..Self::plain(fetcher, timeout) })
    }
}

impl Remote {
    /// Reads a repository address. Credentials inside of it are moved to `access` unless that has
    /// some already.
    ///
    /// # Errors
    /// [`GitError::Url`] when it is none, or one of a kind that is not served.
    pub fn new(
        repo: &str,
        reference: Reference,
        mut access: Access,
        link: &Arc<Link>,
    ) -> Result<Self, GitError> {
        let repo = repo.trim();
        let fail = |url: &str, detail: &str| GitError::Url {
            url: url.to_owned(),
            detail: detail.to_owned(),
        };
        if is_ssh(repo) {
            let detail = "ssh is not served yet; use an https:// address and a basic-auth secret";
            return Err(fail(repo, detail));
        }
        let mut url = Url::parse(repo).map_err(|_| fail(repo, "is not an address"))?;
        if url.scheme() == "file" && link.serves_local {
            return Ok(Self { url, reference, access: Access::default(), link: Arc::clone(link) });
        }
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(fail(&redacted(&url), "only https:// and http:// are served"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let username = percent_decoded(url.username());
            let password = percent_decoded(url.password().unwrap_or_default());
            access.credentials.get_or_insert(Credentials::Basic { username, password });
        }
        url = Url::parse(redacted(&url).trim_end_matches('/'))
            .map_err(|_| fail(&redacted(&url), "is not an address"))?;
        Ok(Self { url, reference, access, link: Arc::clone(link) })
    }

    /// The address, fit for messages.
    #[must_use]
    pub fn redacted(&self) -> String {
        self.url.to_string()
    }

    /// What is trusted besides the system's certificates.
    ///
    /// # Errors
    /// What is not PEM.
    pub(super) fn certificates(&self) -> Result<Vec<reqwest::Certificate>, NetError> {
        self.link.fetcher.certificates(&self.access)
    }

    /// The folder, when the repository is one of this machine's.
    #[must_use]
    pub fn local_folder(&self) -> Option<PathBuf> {
        (self.url.scheme() == "file").then(|| self.url.to_file_path().ok()).flatten()
    }

    /// What takes the place of the server.
    #[must_use]
    pub fn source(&self) -> Option<&Arc<dyn Source>> {
        self.link.source.as_ref()
    }

    /// Names this remote, its ref and its access; equal keys get equal answers.
    #[must_use]
    pub fn key(&self) -> (String, Reference, String) {
        (self.redacted(), self.reference.clone(), self.access.fingerprint())
    }

    /// The address to fetch from: where the last listing came from, redirects followed.
    #[must_use]
    pub fn fetch_url(&self) -> Url {
        let known = self.link.version_2.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&self.server_key()).unwrap_or(&self.url).clone()
    }

    fn server_key(&self) -> String {
        format!("{} {}", self.url, self.access.fingerprint())
    }

    fn ask<'a>(&'a self, url: Url, headers: HeaderMap, body: Option<Bytes>) -> Ask<'a> {
        let timeout = self.link.timeout;
        Ask { url, access: &self.access, headers, body, bytes_max: LISTING_BYTES_MAX, timeout }
    }
}

/// `ssh://…`, `git@host:path` and the like.
fn is_ssh(repo: &str) -> bool {
    if let Some((scheme, _)) = repo.split_once("://") {
        return matches!(scheme, "ssh" | "git+ssh" | "ssh+git");
    }
    repo.split_once(':').is_some_and(|(host, _)| !host.contains('/') && host.contains('@'))
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| bytes.get(at + 1..at + 3)).flatten();
        let value = escaped
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// Asks the server which commit the remote's ref points to now. Annotated tags are peeled.
///
/// # Errors
/// [`GitError`]: no such repository, ref or permission, or the network.
pub async fn resolve_head(remote: &Remote) -> Result<CommitId, GitError> {
    if let Reference::Commit(commit) = &remote.reference {
        return Ok(commit.clone());
    }
    let names = remote.reference.full_names();
    let listing = match (remote.source(), remote.local_folder()) {
        (Some(source), _) => source.refs(&remote.redacted())?,
        (None, Some(folder)) => list_local_refs(folder, names.clone()).await?,
        (None, None) => list_refs(remote, &names).await?,
    };
    let found = names.iter().find_map(|name| listing.get(name));
    found.cloned().ok_or_else(|| match &remote.reference {
        Reference::Branch(branch) => {
            GitError::BranchNotFound { branch: branch.clone(), url: remote.redacted() }
        }
        Reference::Revision(revision) => {
            GitError::RevisionNotFound { revision: revision.clone(), url: remote.redacted() }
        }
        // Answered above without a listing.
        Reference::Commit(_) => GitError::Cancelled,
    })
}

type Listing = BTreeMap<String, CommitId>;

async fn list_local_refs(folder: PathBuf, names: Vec<String>) -> Result<Listing, GitError> {
    let look = move || -> Result<Listing, GitError> {
        let fail =
            |detail: String| GitError::Store { detail: format!("{}: {detail}", folder.display()) };
        let repo = super::tree::open_bare(&folder)?;
        let mut listing = Listing::new();
        for name in names {
            let found = repo.try_find_reference(&name).map_err(|e| fail(e.to_string()))?;
            let Some(mut reference) = found else { continue };
            let id = reference.peel_to_id().map_err(|e| fail(e.to_string()))?;
            listing.extend(CommitId::parse(&id.to_string()).map(|commit| (name, commit)));
        }
        Ok(listing)
    };
    let done = tokio::task::spawn_blocking(look).await;
    done.map_err(|e| GitError::Store { detail: e.to_string() })?
}

async fn list_refs(remote: &Remote, names: &[String]) -> Result<Listing, GitError> {
    let known = {
        let version_2 = remote.link.version_2.lock().unwrap_or_else(PoisonError::into_inner);
        version_2.get(&remote.server_key()).cloned()
    };
    if let Some(base) = known {
        match list_refs_2(remote, &base, names).await {
            Ok(listing) => return Ok(listing),
            Err(
                error @ GitError::Net(NetError::Unreachable { .. } | NetError::TimedOut { .. }),
            ) => {
                return Err(error);
            }
            // The server changed: get to know it again.
            Err(_) => forget(remote),
        }
    }
    let (base, advertised) = advertise(remote).await?;
    match advertised {
        Advertised::Version2 => {
            let listing = list_refs_2(remote, &base, names).await?;
            let mut version_2 =
                remote.link.version_2.lock().unwrap_or_else(PoisonError::into_inner);
            version_2.insert(remote.server_key(), base);
            Ok(listing)
        }
        Advertised::Refs(listing, _) => Ok(listing),
    }
}

fn forget(remote: &Remote) {
    let mut version_2 = remote.link.version_2.lock().unwrap_or_else(PoisonError::into_inner);
    version_2.remove(&remote.server_key());
}

enum Advertised {
    Version2,
    /// Older servers list everything at once; `HEAD`'s target is among the capabilities.
    Refs(Listing, Option<String>),
}

/// The first request to a server: what it speaks, and where it really lives.
async fn advertise(remote: &Remote) -> Result<(Url, Advertised), GitError> {
    let mut url = below(&remote.url, "info/refs");
    url.set_query(Some("service=git-upload-pack"));
    let mut headers = HeaderMap::new();
    headers.insert(GIT_PROTOCOL, HeaderValue::from_static("version=2"));
    let reply = remote.link.fetcher.send(remote.ask(url, headers, None)).await;
    let reply = reply.map_err(|error| explain(remote, error))?;
    let protocol = |detail: String| GitError::Protocol { url: remote.redacted(), detail };
    let kind = reply.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !kind.starts_with(ADVERTISEMENT) {
        return Err(protocol(format!("it answers with {kind:?}")));
    }
    let base =
        base_of(&reply).ok_or_else(|| protocol("it redirects to another path".to_owned()))?;
    let packets = packet::lines(&reply.body).map_err(protocol)?;
    let mut data = packets.iter().filter_map(|packet| match packet {
        Packet::Data(data) if !data.starts_with(b"# service=") => Some(*data),
        _ => None,
    });
    match data.next() {
        Some(b"version 2") => Ok((base, Advertised::Version2)),
        first => {
            let head = first.and_then(advertised_head);
            let lines = first.into_iter().chain(data);
            Ok((base, Advertised::Refs(listing_of(lines.filter_map(advertised_ref)), head)))
        }
    }
}

/// `<id> <name>[\0capabilities]`; peeled tags come as a second line with `^{}`.
fn advertised_ref(line: &[u8]) -> Option<(String, CommitId)> {
    let line = line.split(|byte| *byte == 0).next()?;
    let (id, name) = std::str::from_utf8(line).ok()?.split_once(' ')?;
    Some((name.trim_end_matches("^{}").to_owned(), CommitId::parse(id)?))
}

/// The capability `symref=HEAD:<name>` of the first line.
fn advertised_head(line: &[u8]) -> Option<String> {
    let capabilities = std::str::from_utf8(line.split(|byte| *byte == 0).nth(1)?).ok()?;
    let words = capabilities.split_whitespace();
    words.filter_map(|word| word.strip_prefix("symref=HEAD:")).next().map(str::to_owned)
}

/// Later entries win, so the peeled line of a tag replaces the tag object's own.
fn listing_of(refs: impl Iterator<Item = (String, CommitId)>) -> Listing {
    refs.collect()
}

async fn list_refs_2(remote: &Remote, base: &Url, names: &[String]) -> Result<Listing, GitError> {
    let prefixes = names.iter().map(|name| format!("ref-prefix {name}"));
    let lines = ls_refs(remote, base, std::iter::once("peel".to_owned()).chain(prefixes)).await?;
    Ok(listing_of(lines.iter().filter_map(|line| listed_ref(line))))
}

/// The command `ls-refs` of protocol 2: the lines of its answer.
async fn ls_refs(
    remote: &Remote,
    base: &Url,
    arguments: impl Iterator<Item = String>,
) -> Result<Vec<Vec<u8>>, GitError> {
    let mut body = Vec::new();
    packet::push(&mut body, "command=ls-refs");
    packet::push(&mut body, concat!("agent=fleet/", env!("CARGO_PKG_VERSION")));
    body.extend_from_slice(b"0001");
    for argument in arguments {
        packet::push(&mut body, &argument);
    }
    body.extend_from_slice(b"0000");
    let mut headers = HeaderMap::new();
    headers.insert(GIT_PROTOCOL, HeaderValue::from_static("version=2"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-git-upload-pack-request"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/x-git-upload-pack-result"));
    // Credentials go to the configured origin only, also when the server moved its repositories.
    let moved = base.origin() != remote.url.origin();
    let bare = Access { credentials: None, ..remote.access.clone() };
    let mut ask = remote.ask(below(base, "git-upload-pack"), headers, Some(body.into()));
    if moved {
        ask.access = &bare;
    }
    let reply = remote.link.fetcher.send(ask).await.map_err(|error| explain(remote, error))?;
    let protocol = |detail: String| GitError::Protocol { url: remote.redacted(), detail };
    let packets = packet::lines(&reply.body).map_err(protocol)?;
    if packets.last() != Some(&Packet::Flush) {
        return Err(protocol("the list of refs has no end".to_owned()));
    }
    let mut lines = Vec::new();
    for packet in packets {
        let Packet::Data(line) = packet else { continue };
        if let Some(error) = line.strip_prefix(b"ERR ") {
            return Err(protocol(String::from_utf8_lossy(error).into_owned()));
        }
        lines.push(line.to_vec());
    }
    Ok(lines)
}

/// The branch that the remote's `HEAD` names; `None` when it names none.
///
/// # Errors
/// [`GitError`]: no such repository or permission, or the network.
pub async fn default_branch(remote: &Remote) -> Result<Option<String>, GitError> {
    let head = match advertise(remote).await? {
        (_, Advertised::Refs(_, head)) => head,
        (base, Advertised::Version2) => {
            let arguments = ["symrefs", "ref-prefix HEAD"].map(str::to_owned);
            let lines = ls_refs(remote, &base, arguments.into_iter()).await?;
            lines.iter().find_map(|line| listed_head(line))
        }
    };
    Ok(head.and_then(|name| Some(name.strip_prefix("refs/heads/")?.to_owned())))
}

/// The target in `<id> HEAD symref-target:<name>`.
fn listed_head(line: &[u8]) -> Option<String> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ').skip(1);
    words.next().filter(|name| *name == "HEAD")?;
    words.find_map(|word| word.strip_prefix("symref-target:")).map(str::to_owned)
}

/// `<id> <name>[ symref-target:<name>][ peeled:<id>]`.
fn listed_ref(line: &[u8]) -> Option<(String, CommitId)> {
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let (id, name) = (words.next()?, words.next()?);
    let peeled = words.find_map(|word| word.strip_prefix("peeled:"));
    Some((name.to_owned(), CommitId::parse(peeled.unwrap_or(id))?))
}

/// Where the repository lies: the answering address without `/info/refs`.
fn base_of(reply: &Reply) -> Option<Url> {
    let mut base = reply.url.clone();
    let path = base.path().strip_suffix("/info/refs")?.to_owned();
    base.set_query(None);
    base.set_path(&path);
    Some(base)
}

fn below(base: &Url, tail: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}/{tail}", base.path().trim_end_matches('/')));
    url
}

fn explain(remote: &Remote, error: NetError) -> GitError {
    let url = remote.redacted();
    match error {
        NetError::Status { status: StatusCode::NOT_FOUND, .. } => {
            GitError::RepositoryNotFound { url }
        }
        NetError::Status { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => {
            let with = match remote.access.credentials {
                Some(_) => "the credentials",
                None => "a request without credentials",
            };
            GitError::Unauthorized { url, with }
        }
        other => GitError::Net(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(repo: &str) -> Result<Remote, GitError> {
        let link = Link::new(Arc::new(Fetcher::new("test")), Duration::from_secs(1));
        Remote::new(repo, Reference::of_spec("", ""), Access::default(), &link)
    }

    #[test]
    fn credentials_leave_the_address() {
        let remote = remote("https://us%40er:p%3Aw@host/x.git/?a=b").unwrap();
        assert_eq!(remote.redacted(), "https://host/x.git");
        let (username, password) = ("us@er".to_owned(), "p:w".to_owned());
        assert_eq!(remote.access.credentials, Some(Credentials::Basic { username, password }));
    }

    #[test]
    fn addresses_that_are_not_served_say_so() {
        for ssh in ["git@github.com:a/b.git", "ssh://git@host/a"] {
            assert!(remote(ssh).unwrap_err().to_string().contains("ssh is not served yet"));
        }
        assert!(remote("file:///etc").is_err());
        assert!(remote("/srv/git").is_err());
    }

    #[test]
    fn a_revision_wins_over_a_branch_and_a_full_id_is_a_commit() {
        let id = "a".repeat(40);
        assert_eq!(Reference::of_spec("", ""), Reference::Branch("master".into()));
        assert_eq!(Reference::of_spec("dev", "v1"), Reference::Revision("v1".into()));
        assert_eq!(
            Reference::of_spec("dev", &id),
            Reference::Commit(CommitId::parse(&id).unwrap())
        );
        assert_eq!(Reference::of_spec("", "abc123"), Reference::Revision("abc123".into()));
    }

    #[test]
    fn peeled_tags_win_in_both_protocols() {
        let (tag, commit) = ("1".repeat(40), "2".repeat(40));
        let line = format!("{tag} refs/tags/v1 peeled:{commit}");
        assert_eq!(listed_ref(line.as_bytes()).unwrap().1.as_str(), commit);
        let lines = [format!("{tag} refs/tags/v1\0caps"), format!("{commit} refs/tags/v1^{{}}")];
        let listing = listing_of(lines.iter().filter_map(|line| advertised_ref(line.as_bytes())));
        assert_eq!(listing["refs/tags/v1"].as_str(), commit);
    }

    #[test]
    fn head_is_read_in_both_protocols() {
        let id = "1".repeat(40);
        let line = format!("{id} HEAD symref-target:refs/heads/trunk");
        assert_eq!(listed_head(line.as_bytes()).unwrap(), "refs/heads/trunk");
        assert_eq!(listed_head(format!("{id} refs/heads/HEAD").as_bytes()), None);
        let line = format!("{id} HEAD\0multi_ack symref=HEAD:refs/heads/trunk agent=git/2");
        assert_eq!(advertised_head(line.as_bytes()).unwrap(), "refs/heads/trunk");
    }
}
