use std::sync::Arc;
use std::time::Duration;

use bundle_format::read::FileTree;
use gitjob::git::fetch::FetchLimits;
use gitjob::git::remote::Link;
use gitjob::git::{
    CommitId, CommitTree, GitError, GitStore, GitTree, Reference, Remote, default_branch,
    fetch_tree, resolve_head,
};
use gitjob::net::{Access, Credentials, Fetcher};
use tokio_util::sync::CancellationToken;

use crate::git_server::GitServer;

struct Client {
    link: Arc<Link>,
    store: Arc<GitStore>,
    _dir: tempfile::TempDir,
}

impl Client {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = GitStore::new(dir.path().join("store"), FetchLimits::default()).unwrap();
        let link = Link::new(Arc::new(Fetcher::new("test")), Duration::from_secs(10));
        Self { link, store, _dir: dir }
    }

    fn remote(&self, url: &str, reference: Reference, access: Access) -> Remote {
        Remote::new(url, reference, access, &self.link).unwrap()
    }

    async fn tree(&self, remote: &Remote, commit: &CommitId) -> Result<GitTree, GitError> {
        fetch_tree(&self.store, remote, commit, &CancellationToken::new()).await
    }
}

fn branch(name: &str) -> Reference {
    Reference::Branch(name.to_owned())
}

fn basic(username: &str, password: &str) -> Access {
    let (username, password) = (username.to_owned(), password.to_owned());
    Access { credentials: Some(Credentials::Basic { username, password }), ..Access::default() }
}

#[tokio::test]
async fn a_branch_is_polled_with_one_request_and_its_commit_read_without_a_checkout() {
    let server = GitServer::start().await;
    let first = server.commit(&[("a/x.yaml", Some("one")), ("b/y.yaml", Some("two"))]);
    let client = Client::new();
    let remote = client.remote(&server.repo(), branch("main"), Access::default());
    assert_eq!(resolve_head(&remote).await.unwrap().as_str(), first);
    assert_eq!(server.requests().len(), 2, "the first look learns what the server speaks");
    let head = resolve_head(&remote).await.unwrap();
    assert_eq!(server.requests(), ["POST /repo.git/git-upload-pack"]);

    let tree = client.tree(&remote, &head).await.unwrap();
    assert_eq!(tree.read("a/x.yaml", 10).unwrap(), b"one");
    assert!(tree.read("a/x.yaml", 2).is_err());
    assert!(tree.read("a", 10).is_err());
    let names: Vec<_> = tree.list("").unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["a", "b"]);

    let second = server.commit(&[("a/x.yaml", Some("three"))]);
    let head = resolve_head(&remote).await.unwrap();
    assert_eq!(head.as_str(), second);
    let changed = client.tree(&remote, &head).await.unwrap();
    assert_eq!(changed.read("a/x.yaml", 10).unwrap(), b"three");
    assert_ne!(changed.tree_hash("a"), tree.tree_hash("a"));
    assert_eq!(changed.tree_hash("b"), tree.tree_hash("b"));
    server.requests();
    client.tree(&remote, &head).await.unwrap();
    assert_eq!(server.requests(), Vec::<String>::new(), "a commit that is here is not fetched");
}

#[tokio::test]
async fn tags_are_peeled_and_a_commit_that_no_ref_names_is_fetched() {
    let server = GitServer::start().await;
    let first = server.commit(&[("x", Some("1"))]);
    server.git(&["tag", "-a", "v1", "-m", "v1"]);
    server.push("v1");
    server.commit(&[("x", Some("2"))]);
    let client = Client::new();
    let tagged = client.remote(&server.repo(), Reference::of_spec("", "v1"), Access::default());
    let commit = resolve_head(&tagged).await.unwrap();
    assert_eq!(commit.as_str(), first);
    let pinned = client.remote(&server.repo(), Reference::of_spec("", &first), Access::default());
    assert_eq!(resolve_head(&pinned).await.unwrap(), commit);
    assert_eq!(client.tree(&pinned, &commit).await.unwrap().read("x", 9).unwrap(), b"1");
}

#[tokio::test]
async fn a_server_of_protocol_0_is_served_too() {
    let server = GitServer::start().await;
    server.behaviour.lock().unwrap().is_old = true;
    let first = server.commit(&[("x", Some("1"))]);
    server.git(&["tag", "-a", "v1", "-m", "v1"]);
    server.push("v1");
    let client = Client::new();
    for reference in [branch("main"), Reference::of_spec("", "v1")] {
        let remote = client.remote(&server.repo(), reference, Access::default());
        let commit = resolve_head(&remote).await.unwrap();
        assert_eq!(commit.as_str(), first);
        assert_eq!(client.tree(&remote, &commit).await.unwrap().read("x", 9).unwrap(), b"1");
    }
}

#[tokio::test]
async fn what_is_missing_is_named() {
    let server = GitServer::start().await;
    server.commit(&[("x", Some("1"))]);
    let client = Client::new();
    let error =
        |remote: Remote| async move { resolve_head(&remote).await.unwrap_err().to_string() };
    let access = Access::default;
    let repo = server.repo();
    let text = error(client.remote(&repo, branch("nope"), access())).await;
    assert_eq!(text, format!("commit not found for branch: nope; {repo} has no such branch"));
    let gone = format!("{}/gone.git", server.url);
    let text = error(client.remote(&gone, branch("main"), access())).await;
    assert!(text.starts_with(&format!("repository not found: {gone}")), "{text}");
    let text = error(client.remote("http://127.0.0.1:1/x", branch("main"), access())).await;
    assert!(text.contains("is not reachable"), "{text}");

    let lost = CommitId::parse(&"a".repeat(40)).unwrap();
    let pinned = client.remote(&repo, Reference::Commit(lost.clone()), access());
    let error = client.tree(&pinned, &lost).await.err().unwrap().to_string();
    assert!(error.starts_with(&format!("commit {lost} cannot be fetched from {repo}")), "{error}");
}

#[tokio::test]
async fn credentials_are_sent_at_once_and_to_their_origin_only() {
    let server = GitServer::start().await;
    let other = GitServer::start().await;
    server.behaviour.lock().unwrap().password = Some("me:s3cret".to_owned());
    let first = server.commit(&[("x", Some("1"))]);
    let client = Client::new();
    let remote = client.remote(&server.repo(), branch("main"), basic("me", "s3cret"));
    let commit = resolve_head(&remote).await.unwrap();
    assert_eq!(commit.as_str(), first);
    client.tree(&remote, &commit).await.unwrap();

    let wrong = client.remote(&server.repo(), branch("main"), basic("me", "wrong-s3cret"));
    let text = resolve_head(&wrong).await.unwrap_err().to_string();
    assert!(text.contains("refused the credentials") && !text.contains("s3cret"), "{text}");

    // A server that moves away does not take the credentials along.
    other.behaviour.lock().unwrap().moved_to = Some(server.url.clone());
    let moved = client.remote(&other.repo(), branch("main"), basic("me", "s3cret"));
    let text = resolve_head(&moved).await.unwrap_err().to_string();
    assert!(text.contains("authentication required"), "{text}");
    server.behaviour.lock().unwrap().password = None;
    server.behaviour.lock().unwrap().authorizations.clear();
    let commit = resolve_head(&moved).await.unwrap();
    assert_eq!(client.tree(&moved, &commit).await.unwrap().read("x", 9).unwrap(), b"1");
    assert_eq!(server.behaviour.lock().unwrap().authorizations, Vec::<String>::new());
}

#[tokio::test]
async fn many_commits_do_not_pile_up() {
    let server = GitServer::start().await;
    let client = Client::new();
    let mut last = String::new();
    for n in 0..30 {
        server.commit(&[("x", Some(&n.to_string()))]);
        let remote = client.remote(&server.repo(), branch("main"), Access::default());
        let commit = resolve_head(&remote).await.unwrap();
        let tree = client.tree(&remote, &commit).await.unwrap();
        last = String::from_utf8(tree.read("x", 9).unwrap()).unwrap();
    }
    assert_eq!(last, "29");
}

#[tokio::test]
async fn a_fetch_left_by_its_caller_keeps_its_folder_until_it_ends() {
    let server = GitServer::start().await;
    let first = server.commit(&[("x", Some("1"))]);
    let second = server.commit(&[("x", Some("2"))]);
    let client = Client::new();
    let remote = client.remote(&server.repo(), branch("main"), Access::default());
    let [first, second] = [first, second].map(|id| CommitId::parse(&id).unwrap());
    server.behaviour.lock().unwrap().fetch_delay = Some(Duration::from_secs(1));
    let cancel = CancellationToken::new();
    let left = async {
        while server.behaviour.lock().unwrap().fetching == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cancel.cancel();
    };
    let (result, ()) = tokio::join!(fetch_tree(&client.store, &remote, &first, &cancel), left);
    assert!(matches!(result, Err(GitError::Cancelled)));
    assert_eq!(server.behaviour.lock().unwrap().fetching, 1, "the caller left in the middle");

    let tree = client.tree(&remote, &second).await.unwrap();
    assert_eq!(tree.read("x", 9).unwrap(), b"2");
    assert_eq!(server.behaviour.lock().unwrap().fetching_max, 1, "two fetches in one folder");
}

#[tokio::test]
async fn the_server_names_its_default_branch() {
    let server = GitServer::start().await;
    server.commit(&[("x", Some("1"))]);
    let client = Client::new();
    let remote = client.remote(&server.repo(), branch("any"), Access::default());
    assert_eq!(default_branch(&remote).await.unwrap().as_deref(), Some("main"));
}
