//! `gitjob` against the real `git http-backend`.

mod charts;
mod flow;
mod git;
mod git_server;
mod hooks;
mod world;
