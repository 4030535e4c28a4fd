//! Bare repositories over smart HTTP, through `git http-backend`.
//!
//! Owns the server and the repositories below one folder. Knows nothing of what they hold. Start at
//! [`GitServer::start`].

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::process::run;

/// A Git server on loopback.
#[derive(Debug)]
pub struct GitServer {
    /// `http://127.0.0.1:PORT`.
    pub url: String,
    folder: PathBuf,
    requests: Arc<AtomicUsize>,
}

impl GitServer {
    /// Serves the bare repositories below `folder/bare`, and the files in `folder/bare/charts`.
    ///
    /// # Errors
    /// When the folder or the port cannot be had.
    pub fn start(folder: &Path, runtime: &Handle) -> Result<Self> {
        let root = folder.join("bare");
        std::fs::create_dir_all(&root)?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let url = format!("http://{}", listener.local_addr()?);
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (root, counter) = (root.clone(), Arc::clone(&counter));
                let service = hyper::service::service_fn(move |request| {
                    counter.fetch_add(1, Ordering::Relaxed);
                    answer(root.clone(), request)
                });
                tokio::spawn(async move {
                    let server = hyper::server::conn::http1::Builder::new();
                    drop(server.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Ok(Self { url, folder: folder.to_owned(), requests })
    }

    /// Folder of the files served below `/charts/`.
    pub fn charts(&self) -> PathBuf {
        self.folder.join("bare/charts")
    }

    /// Requests answered so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }

    /// A new repository with branch `main` and no commit.
    ///
    /// # Errors
    /// When git fails.
    pub fn repo(&self, name: &str) -> Result<Repo> {
        let bare = self.folder.join("bare").join(format!("{name}.git"));
        let work = self.folder.join("work").join(name);
        std::fs::create_dir_all(&work)?;
        run(git(&self.folder).args(["init", "--quiet", "--bare", "-b", "main"]).arg(&bare))?;
        run(git(&bare).args(["config", "http.receivepack", "true"]))?;
        run(git(&work).args(["init", "--quiet", "-b", "main"]))?;
        run(git(&work).args(["remote", "add", "origin"]).arg(&bare))?;
        self.open(name)
    }

    /// A repository made before.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn open(&self, name: &str) -> Result<Repo> {
        let work = self.folder.join("work").join(name);
        anyhow::ensure!(work.is_dir(), "no repository {name}");
        Ok(Repo { url: format!("{}/{name}.git", self.url), work })
    }
}

/// A repository with a work tree to commit in.
#[derive(Debug)]
pub struct Repo {
    /// Where it is served.
    pub url: String,
    work: PathBuf,
}

impl Repo {
    /// Writes files; an empty text deletes the file.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, files: &[(&str, &str)]) -> Result<()> {
        for (name, text) in files {
            let path = self.work.join(name);
            if text.is_empty() {
                std::fs::remove_file(&path).with_context(|| format!("remove {name}"))?;
                continue;
            }
            std::fs::create_dir_all(path.parent().unwrap_or(&self.work))?;
            std::fs::write(&path, text).with_context(|| format!("write {name}"))?;
        }
        Ok(())
    }

    /// Copies a folder into the repository.
    ///
    /// # Errors
    /// When a file cannot be copied.
    pub fn copy(&self, from: &Path, to: &str) -> Result<()> {
        let target = self.work.join(to);
        std::fs::create_dir_all(&target)?;
        run(Command::new("cp").arg("-R").arg(from.join(".")).arg(&target))?;
        Ok(())
    }

    /// Commits everything and pushes it; returns the commit's id.
    ///
    /// # Errors
    /// When git fails.
    pub fn push(&self, message: &str) -> Result<String> {
        run(git(&self.work).args(["add", "-A"]))?;
        run(git(&self.work).args(["commit", "--quiet", "--allow-empty", "-m", message]))?;
        run(git(&self.work).args(["push", "--quiet", "origin", "main"]))?;
        Ok(run(git(&self.work).args(["rev-parse", "HEAD"]))?.trim().to_owned())
    }

    /// Writes files, commits and pushes.
    ///
    /// # Errors
    /// When git fails.
    pub fn commit(&self, message: &str, files: &[(&str, &str)]) -> Result<String> {
        self.write(files)?;
        self.push(message)
    }
}

/// Git without the settings of the person who runs the tests.
fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_SYSTEM", "/dev/null")
        .args(["-c", "user.name=e2e", "-c", "user.email=e2e@example.com"]);
    command
}

async fn answer(root: PathBuf, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    match backend(&root, request).await {
        Ok(response) => Ok(response),
        Err(error) => Ok(Response::builder()
            .status(StatusCode::INTERNAL_SERVER_ERROR)
            .body(Full::from(format!("{error:#}")))?),
    }
}

/// One run of the CGI program.
async fn backend(root: &Path, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
    let (head, body) = request.into_parts();
    // Files that are no repository: charts.
    if let Some(name) = head.uri.path().strip_prefix("/charts/").filter(|n| !n.contains('/')) {
        let read = std::fs::read(root.join("charts").join(name));
        let status = if read.is_ok() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        return Ok(Response::builder()
            .status(status)
            .body(Full::from(read.unwrap_or_default()))?);
    }
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
    let mut command = Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", head.uri.path())
        .env("QUERY_STRING", head.uri.query().unwrap_or_default())
        .env("REQUEST_METHOD", head.method.as_str())
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("REMOTE_ADDR", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for (name, variable) in
        [("git-protocol", "GIT_PROTOCOL"), ("content-encoding", "HTTP_CONTENT_ENCODING")]
    {
        if let Some(value) = header(name) {
            command.env(variable, value);
        }
    }
    let output = tokio::task::spawn_blocking(move || -> Result<_> {
        let mut child = command.spawn().context("start git http-backend")?;
        let mut input = child.stdin.take().context("no standard input")?;
        // The program reads its whole input before it answers much; a pipe takes the rest.
        let writer = std::thread::spawn(move || drop(input.write_all(&body)));
        let output = child.wait_with_output()?;
        drop(writer.join());
        Ok(output)
    });
    let output = output.await??;
    parse_cgi(&output.stdout)
}

/// An HTTP response from what a CGI program printed.
fn parse_cgi(output: &[u8]) -> Result<Response<Full<Bytes>>> {
    let end = output.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("no headers")?;
    let mut response = Response::builder();
    for line in std::str::from_utf8(&output[..end])?.split("\r\n") {
        let Some((name, value)) = line.split_once(": ") else { continue };
        if name.eq_ignore_ascii_case("status") {
            response = response.status(value.split(' ').next().unwrap_or("500"));
        } else {
            response = response.header(name, value);
        }
    }
    Ok(response.body(Full::from(Bytes::copy_from_slice(&output[end + 4..])))?)
}
