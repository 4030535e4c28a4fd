//! One process: how long it takes, what it prints, and how much memory it has at most.
//!
//! Start at [`Sandbox`].

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Between two looks at a process whose memory is measured.
const SAMPLING: Duration = Duration::from_micros(200);

/// A home of its own, so that nobody's settings or caches count.
pub(super) struct Sandbox {
    folder: tempfile::TempDir,
}

impl Sandbox {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    /// A path in the sandbox.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &Path, args: &[String]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .env_clear()
            .env("HOME", self.folder.path())
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// Milliseconds from start to end, and what was written to standard output, a file.
    pub(super) fn time(&self, program: &Path, args: &[String]) -> Result<(f64, Vec<u8>)> {
        let output = self.file("output");
        let mut command = self.command(program, args);
        command.stdout(File::create(&output)?);
        let started = Instant::now();
        let status = command.status().with_context(|| format!("run {}", program.display()))?;
        let time = started.elapsed().as_secs_f64() * 1000.0;
        ensure!(status.success(), "{} {} failed", program.display(), args.join(" "));
        Ok((time, std::fs::read(output)?))
    }

    /// The most memory that was resident, in MiB (`VmHWM`).
    ///
    /// The output is not read until its first byte is there and the counter was read once more: a
    /// program that computes first and prints then waits in its first long write meanwhile. For
    /// outputs that fit into a pipe the last fraction of a millisecond may be missed.
    pub(super) fn peak(&self, program: &Path, args: &[String]) -> Result<f64> {
        let mut child = self.command(program, args).stdout(Stdio::piped()).spawn()?;
        let Some(mut output) = child.stdout.take() else { bail!("the process has no output") };
        let (printed, first_byte) = mpsc::channel();
        let (go_on, drain) = mpsc::channel();
        let reader = std::thread::spawn(move || -> std::io::Result<()> {
            output.read_exact(&mut [0])?;
            // Nobody listens when the process ended badly.
            let _ = printed.send(());
            let _ = drain.recv();
            std::io::copy(&mut output, &mut std::io::sink()).map(drop)
        });
        let mut peak = 0.0_f64;
        loop {
            let prints = first_byte.try_recv() != Err(mpsc::TryRecvError::Empty);
            peak = peak.max(peak_of(child.id()));
            if prints {
                break;
            }
            std::thread::sleep(SAMPLING);
        }
        let _ = go_on.send(());
        let status = child.wait()?;
        let _ = reader.join();
        ensure!(status.success(), "{} {} failed", program.display(), args.join(" "));
        Ok(peak)
    }
}

/// `VmHWM` in MiB; 0 once the process is gone.
fn peak_of(process: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kibibytes.unwrap_or_default() / 1024.0
}

/// The one in the middle; 0 of none.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Median, least and most: `12.3 (11.8 to 14.0)`.
pub(super) fn spread(values: &[f64], digits: usize) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{:.digits$} ({least:.digits$} to {most:.digits$})", median(values))
}
