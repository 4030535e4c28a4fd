//! Chart archives: gzipped tar, read with bounds.

use std::io::Read;

use bundle_format::read::Files;
use flate2::read::GzDecoder;

use super::{FetchChartError, Fetched};

const FILES_MAX: usize = 10_000;
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;
const NAME_BYTES_MAX: usize = 1024;

/// The regular files of an archive by their names in it. Hidden names are left out, as they are in
/// a bundle's own folder; links and special files do not belong into charts and are left out too.
pub(super) fn unpack(fetched: &Fetched) -> Result<Files, FetchChartError> {
    let fail = |detail: String| FetchChartError::Archive { url: fetched.url.clone(), detail };
    // One byte more than allowed tells a full archive from one that is too long.
    let limited = GzDecoder::new(&*fetched.archive).take(UNPACKED_BYTES_MAX + 1);
    let mut archive = tar::Archive::new(limited);
    let mut files = Files::new();
    let mut unpacked_bytes = 0;
    for entry in archive.entries().map_err(|e| fail(e.to_string()))? {
        let mut entry = entry.map_err(|e| fail(format!("is not a gzipped tar: {e}")))?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let path = entry.path_bytes().into_owned();
        let Some(name) = file_name(&path) else {
            return Err(fail(format!("holds {:?}", String::from_utf8_lossy(&path))));
        };
        if name.split('/').any(|part| part.starts_with('.')) {
            continue;
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|e| fail(e.to_string()))?;
        unpacked_bytes += bytes.len() as u64;
        files.insert(name, bytes);
        if unpacked_bytes > UNPACKED_BYTES_MAX || files.len() > FILES_MAX {
            let limits = format!("{UNPACKED_BYTES_MAX} bytes or {FILES_MAX} files");
            return Err(fail(format!("unpacks to more than {limits}")));
        }
    }
    match files.keys().any(|name| name == "Chart.yaml" || name.ends_with("/Chart.yaml")) {
        true => Ok(files),
        false => Err(fail("holds no Chart.yaml".to_owned())),
    }
}

/// A clean relative name; `None` for one that leads elsewhere.
fn file_name(path: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(path).ok()?;
    let name = name.strip_prefix("./").unwrap_or(name);
    let is_clean = !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.contains(['\\', '\0'])
        && name.split('/').all(|part| !matches!(part, "" | "." | ".."));
    is_clean.then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn archive(files: &[(&str, &[u8])]) -> Fetched {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            // Written past the crate's own checks: that is what an attacker does.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            builder.append(&header, *bytes).unwrap();
        }
        let bytes = builder.into_inner().unwrap().finish().unwrap();
        Fetched { url: "https://x/y.tgz".into(), version: String::new(), archive: bytes.into() }
    }

    #[test]
    fn files_keep_their_names_and_hidden_ones_stay_out() {
        let fetched = archive(&[("c/Chart.yaml", b"a"), ("c/.helmignore", b""), ("c/t/x", b"b")]);
        let files = unpack(&fetched).unwrap();
        assert_eq!(files.keys().collect::<Vec<_>>(), ["c/Chart.yaml", "c/t/x"]);
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["../x", "/etc/passwd", "c/../../x", "c//x"] {
            let error = unpack(&archive(&[("c/Chart.yaml", b""), (name, b"")])).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn a_bomb_is_stopped() {
        let big = vec![0; 48 * 1024 * 1024];
        let fetched = archive(&[("c/Chart.yaml", b""), ("c/a", &big), ("c/b", &big)]);
        assert!(unpack(&fetched).is_err());
        let html = Fetched { archive: (&b"<html>"[..]).into(), ..archive(&[]) };
        assert!(unpack(&html).is_err());
        assert!(unpack(&archive(&[("x", b"")])).unwrap_err().to_string().contains("no Chart.yaml"));
    }
}
