//! Chart archives (`.tgz`) → files, within bounds.
//!
//! Owns what an archive may hold: plain files below one folder, no links, no `..`, no absolute
//! names, bounded in bytes, count and nesting. Start at [`read_archive`].

use std::io::{self, Read, Seek, SeekFrom};

use flate2::read::MultiGzDecoder;

use super::error::Error;

/// A file of a chart; the name is relative to the chart's folder, with `/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartFile {
    /// Such as `templates/deployment.yaml`.
    pub name: String,
    /// Its content.
    pub data: Vec<u8>,
}

/// What a chart may hold, nested archives included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArchiveLimits {
    /// Bytes of all files together, unpacked.
    pub bytes: u64,
    /// Files.
    pub files: u64,
    /// Archives within archives, and charts below `charts/`.
    pub depth: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { bytes: 100 << 20, files: 20_000, depth: 20 }
    }
}

/// Counts what loading one chart has used of its limits.
#[derive(Debug)]
pub(crate) struct Usage {
    limits: ArchiveLimits,
    bytes: u64,
    files: u64,
}

impl Usage {
    pub(crate) fn new(limits: ArchiveLimits) -> Self {
        Self { limits, bytes: 0, files: 0 }
    }

    pub(crate) fn take_file(&mut self, bytes: u64) -> Result<(), Error> {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        if self.files > self.limits.files {
            let limit = self.limits.files;
            return Err(Error::TooLarge { bound: "chart files", what: "files", limit });
        }
        if self.bytes > self.limits.bytes {
            let limit = self.limits.bytes;
            return Err(Error::TooLarge { bound: "chart bytes", what: "bytes", limit });
        }
        Ok(())
    }

    pub(crate) fn check_depth(&self, depth: u64) -> Result<(), Error> {
        if depth > self.limits.depth {
            let limit = self.limits.depth;
            return Err(Error::TooLarge { bound: "chart depth", what: "nested charts", limit });
        }
        Ok(())
    }
}

/// The files of a chart archive.
///
/// # Errors
/// When it is no gzipped tar, holds what a chart may not hold, or passes a bound.
pub fn read_archive(bytes: &[u8], limits: ArchiveLimits) -> Result<Vec<ChartFile>, Error> {
    unpack(bytes, &mut Usage::new(limits))
}

pub(crate) fn unpack(bytes: &[u8], usage: &mut Usage) -> Result<Vec<ChartFile>, Error> {
    let broken = |e: io::Error| Error::Archive(format!("not a gzipped tar: {e}"));
    let unzipped = Forward { inner: MultiGzDecoder::new(bytes), position: 0 };
    let mut archive = tar::Archive::new(unzipped);
    let mut files = Vec::new();
    for entry in archive.entries_with_seek().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() || kind.is_pax_global_extensions() || kind.is_pax_local_extensions() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if !kind.is_file() && !kind.is_contiguous() {
            return Err(Error::Archive(format!("{name:?} is a link or device, not a file")));
        }
        let name = clean_name(&name)?;
        usage.take_file(entry.size())?;
        let mut data = Vec::with_capacity(usize::try_from(entry.size()).unwrap_or(0).min(1 << 20));
        // The header's size was counted above; tar does not read past it.
        entry.read_to_end(&mut data).map_err(broken)?;
        files.push(ChartFile { name, data: without_bom(data) });
    }
    if files.is_empty() {
        return Err(Error::Archive("no files in chart archive".to_owned()));
    }
    Ok(files)
}

/// A reader that skips by reading. Archives are read from front to back anyway, but `tar` clears
/// a large buffer for each file when it skips by itself.
struct Forward<R> {
    inner: R,
    position: u64,
}

impl<R: Read> Read for Forward<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl<R: Read> Seek for Forward<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let SeekFrom::Current(distance) = to else {
            return Err(io::ErrorKind::Unsupported.into());
        };
        let mut left = u64::try_from(distance).map_err(|_| io::ErrorKind::Unsupported)?;
        let mut buffer = [0; 512];
        while left > 0 {
            let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = self.read(&mut buffer[..wanted])?;
            if count == 0 {
                return Err(io::Error::other("unexpected EOF during skip"));
            }
            left -= count as u64;
        }
        Ok(self.position)
    }
}

pub(crate) fn without_bom(data: Vec<u8>) -> Vec<u8> {
    match data.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => rest.to_vec(),
        None => data,
    }
}

// The name below the archive's one folder.
fn clean_name(name: &str) -> Result<String, Error> {
    let illegal = |what: &str| Error::Archive(format!("chart illegally {what}: {name:?}"));
    let slashed = name.replace('\\', "/");
    let (folder, rest) = slashed.split_once('/').unwrap_or((&slashed, ""));
    if folder == "Chart.yaml" {
        return Err(Error::Archive("chart yaml not in base directory".to_owned()));
    }
    if rest.starts_with('/') {
        return Err(illegal("contains absolute paths"));
    }
    let mut parts = Vec::new();
    for part in rest.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(illegal("references parent directory")),
            part => parts.push(part),
        }
    }
    let has_drive = rest.as_bytes().get(1..3) == Some(b":/".as_slice());
    match parts.is_empty() {
        true => Err(illegal("contains content outside the base directory")),
        false if has_drive => Err(illegal("contains a drive name")),
        false => Ok(parts.join("/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(encoder);
        for (name, kind, data) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            builder.append(&header, data.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    #[test]
    fn files_lose_their_folder() {
        let bytes = archive(&[("web/Chart.yaml", FILE, "a"), ("web/templates/x.yaml", FILE, "b")]);
        let files = read_archive(&bytes, ArchiveLimits::default()).unwrap();
        let names: Vec<&str> = files.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["Chart.yaml", "templates/x.yaml"]);
    }

    #[test]
    fn names_that_leave_the_chart_are_refused() {
        for name in ["web/../../etc/passwd", "web//etc/passwd", "Chart.yaml", "web/c:/x"] {
            let refused = read_archive(&archive(&[(name, FILE, "x")]), ArchiveLimits::default());
            assert!(refused.is_err() || !name.contains(".."), "{name}");
        }
        let up = archive(&[("web/a/../../x", FILE, "x")]);
        assert!(read_archive(&up, ArchiveLimits::default()).is_err());
    }

    #[test]
    fn links_are_refused() {
        let bytes = archive(&[("web/x", tar::EntryType::Symlink, "")]);
        let error = read_archive(&bytes, ArchiveLimits::default()).unwrap_err();
        assert!(error.to_string().contains("link"), "{error}");
    }

    #[test]
    fn a_bomb_is_stopped_by_its_bound() {
        let big = "x".repeat(2000);
        let bytes = archive(&[("web/a", FILE, &big)]);
        let limits = ArchiveLimits { bytes: 1000, ..ArchiveLimits::default() };
        let error = read_archive(&bytes, limits).unwrap_err();
        assert!(error.to_string().contains("chart bytes"), "{error}");
    }
}
