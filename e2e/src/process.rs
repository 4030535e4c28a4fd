//! Child processes that end with the harness.
//!
//! Owns process groups and their log files. Knows nothing of what runs. Start at [`Child::spawn`].

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

/// A process with a group of its own, killed with all its children when dropped.
#[derive(Debug)]
pub struct Child {
    process: std::process::Child,
    /// Where its output goes.
    pub log: PathBuf,
    name: String,
}

impl Child {
    /// Starts `command` in a new process group, output to `log`.
    ///
    /// # Errors
    /// When the program or the log file cannot be opened.
    pub fn spawn(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let file = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("open {}", log.display()))?;
        let process = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}: {:?}", command.get_program()))?;
        Ok(Self { process, log: log.to_owned(), name: name.to_owned() })
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Its exit code, once it ended. 128 + n for signal n.
    pub fn exit_code(&mut self) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.process.try_wait().ok().flatten()?;
        Some(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
    }

    /// Fails with the end of the log when the process is gone.
    ///
    /// # Errors
    /// When it is.
    pub fn check(&mut self) -> Result<()> {
        let Some(code) = self.exit_code() else { return Ok(()) };
        bail!("{} exited with {code}:\n{}", self.name, tail(&self.log, 20))
    }

    /// Sends a signal to the whole group. A group that is gone is no error.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.process.id().cast_signed()) {
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Asks the group to end, and kills it when it has not after `grace`.
    pub fn stop(&mut self, grace: Duration) {
        self.signal(Signal::TERM);
        let deadline = std::time::Instant::now() + grace;
        while self.exit_code().is_none() && std::time::Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    /// Kills the group and waits for the process.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        drop(self.process.wait());
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last `lines` of a text file, or why it cannot be read.
pub fn tail(path: &Path, lines: usize) -> String {
    match std::fs::read(path) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(e) => format!("({}: {e})", path.display()),
    }
}

/// Runs a command to its end and returns its standard output.
///
/// # Errors
/// When it cannot be started or does not exit with 0; the error holds both outputs.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!(
            "{} exited with {:?}\n{}{}",
            describe(command),
            output.status.code(),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command to its end, whatever its exit code.
///
/// # Errors
/// When it cannot be started.
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("start {}", describe(command)))
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
