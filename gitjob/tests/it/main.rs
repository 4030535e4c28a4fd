//! `gitjob` against the real `git http-backend`.

mod git;
mod git_server;
