//! The real `git http-backend` behind a small HTTP server, and a repository to serve.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use runtime::http_server::{self, Answer, BindAddress};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

/// What the server saw and how it behaves.
#[derive(Default)]
pub(crate) struct Behaviour {
    /// `METHOD path?query` of each request.
    pub(crate) requests: Vec<String>,
    /// Wanted `user:password`.
    pub(crate) password: Option<String>,
    /// Do not pass protocol version 2 on to git.
    pub(crate) is_old: bool,
    /// Answer everything with a redirect to this base.
    pub(crate) moved_to: Option<String>,
    /// Files served as they are, by path.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// Wait this long before a fetch is answered.
    pub(crate) fetch_delay: Option<Duration>,
    /// Delayed fetches under way, and the most there were at once.
    pub(crate) fetching: usize,
    pub(crate) fetching_max: usize,
    /// Never answer a look at the refs.
    pub(crate) hangs: bool,
    /// `Authorization` headers seen.
    pub(crate) authorizations: Vec<String>,
}

pub(crate) struct GitServer {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) url: String,
    pub(crate) behaviour: Arc<Mutex<Behaviour>>,
    stop: CancellationToken,
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl GitServer {
    /// Serves an empty bare repository, `<url>/repo.git`, with a work tree beside it.
    pub(crate) async fn start() -> Self {
        runtime::client::install_crypto_provider();
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q", "--bare", "-b", "main", "repo.git"]);
        git(dir.path(), &["init", "-q", "-b", "main", "work"]);
        let behaviour: Arc<Mutex<Behaviour>> = Arc::default();
        let stop = CancellationToken::new();
        let (root, shared) = (dir.path().to_owned(), Arc::clone(&behaviour));
        let handler = move |request| answer(root.clone(), Arc::clone(&shared), request);
        let address: BindAddress = "127.0.0.1:0".parse().unwrap();
        let local = http_server::serve(&address, stop.clone(), handler).await.unwrap().unwrap();
        Self { dir, url: format!("http://{local}"), behaviour, stop }
    }

    pub(crate) fn repo(&self) -> String {
        format!("{}/repo.git", self.url)
    }

    fn work(&self) -> PathBuf {
        self.dir.path().join("work")
    }

    /// Writes files (`None` removes), commits and pushes; returns the commit.
    pub(crate) fn commit(&self, files: &[(&str, Option<&str>)]) -> String {
        for (path, content) in files {
            let path = self.work().join(path);
            match content {
                Some(content) => {
                    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                    std::fs::write(path, content).unwrap();
                }
                None => std::fs::remove_file(path).unwrap(),
            }
        }
        git(&self.work(), &["add", "-A"]);
        git(&self.work(), &["commit", "-q", "--allow-empty", "-m", "change"]);
        self.push("main");
        git(&self.work(), &["rev-parse", "HEAD"])
    }

    pub(crate) fn push(&self, what: &str) {
        git(&self.work(), &["push", "-q", "../repo.git", what]);
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        git(&self.work(), args)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.behaviour.lock().unwrap().requests)
    }
}

fn git(dir: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

async fn answer(
    root: PathBuf,
    behaviour: Arc<Mutex<Behaviour>>,
    request: Request<Incoming>,
) -> Answer {
    let (parts, body) = request.into_parts();
    let target = parts.uri.path_and_query().unwrap().as_str().to_owned();
    let authorization = parts.headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
    let (is_old, hangs, delay) = {
        let mut behaviour = behaviour.lock().unwrap();
        behaviour.requests.push(format!("{} {target}", parts.method));
        behaviour.authorizations.extend(authorization.clone());
        if let Some(base) = &behaviour.moved_to {
            let mut answer = http_server::text(301, "moved");
            answer.headers_mut().insert("location", format!("{base}{target}").parse().unwrap());
            return answer;
        }
        if let Some(password) = &behaviour.password {
            let wanted = base64::engine::general_purpose::STANDARD.encode(password);
            if authorization != Some(format!("Basic {wanted}")) {
                return http_server::text(401, "no");
            }
        }
        if let Some(file) = behaviour.files.get(parts.uri.path()) {
            return Response::new(Full::new(file.clone().into()));
        }
        (behaviour.is_old, behaviour.hangs, behaviour.fetch_delay)
    };
    if hangs {
        std::future::pending::<()>().await;
    }
    let body = body.collect().await.unwrap().to_bytes();
    if let Some(delay) = delay.filter(|_| String::from_utf8_lossy(&body).contains("command=fetch"))
    {
        {
            let mut behaviour = behaviour.lock().unwrap();
            behaviour.fetching += 1;
            behaviour.fetching_max = behaviour.fetching_max.max(behaviour.fetching);
        }
        tokio::time::sleep(delay).await;
        behaviour.lock().unwrap().fetching -= 1;
    }
    let header = |name: &str| {
        parts.headers.get(name).map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
    };
    let mut backend = tokio::process::Command::new("git");
    backend
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("REQUEST_METHOD", parts.method.as_str())
        .env("PATH_INFO", parts.uri.path())
        .env("QUERY_STRING", parts.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header("content-type"))
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    if !is_old {
        backend.env("GIT_PROTOCOL", header("git-protocol"));
    }
    let mut child = backend.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::spawn(async move { stdin.write_all(&body).await });
    cgi(&child.wait_with_output().await.unwrap().stdout)
}

/// Turns a CGI answer into an HTTP one.
fn cgi(output: &[u8]) -> Answer {
    let end = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let body = output.get(end + 4..).unwrap_or_default().to_vec();
    let mut answer = Response::builder();
    for line in head.lines() {
        let (name, value) = line.split_once(": ").unwrap();
        answer = match name {
            "Status" => answer.status(value[..3].parse::<u16>().unwrap()),
            _ => answer.header(name, value),
        };
    }
    answer.body(Full::new(body.into())).unwrap()
}
