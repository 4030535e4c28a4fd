//! A chart archive loads within its bounds, to names that stay inside, the same each time and after being packed again.
#![no_main]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use render::helm::{ArchiveLimits, Chart, ChartFile, load_chart_archive, read_archive};

const LIMITS: ArchiveLimits = ArchiveLimits { bytes: 1 << 17, files: 40, depth: 4 };
const BLOCK_BYTES: usize = 512;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
    encoder.write_all(bytes).expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

// Bytes that are no gzip are taken for a tar whose check sums the fuzzer cannot guess.
fn archive(data: &[u8]) -> Vec<u8> {
    if data.starts_with(&[0x1f, 0x8b]) {
        return data.to_vec();
    }
    let mut tar = data.to_vec();
    tar.resize(tar.len().next_multiple_of(BLOCK_BYTES), 0);
    let mut at = 0;
    while at + BLOCK_BYTES <= tar.len() {
        let header = &mut tar[at..at + BLOCK_BYTES];
        if header.iter().all(|byte| *byte == 0) {
            break;
        }
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let size = std::str::from_utf8(&header[124..135]).unwrap_or("");
        let size = usize::from_str_radix(size.trim_matches([' ', '\0']), 8).unwrap_or(0);
        at += BLOCK_BYTES + size.min(tar.len()).next_multiple_of(BLOCK_BYTES);
    }
    gzip(&tar)
}

fn check_files(files: &[ChartFile]) {
    assert!(files.len() as u64 <= LIMITS.files);
    assert!(files.iter().map(|file| file.data.len() as u64).sum::<u64>() <= LIMITS.bytes);
    for file in files {
        let inside = |part: &str| !matches!(part, "" | "." | "..");
        assert!(file.name.split('/').all(inside), "{:?}", file.name);
        assert!(!file.name.contains('\\'), "{:?}", file.name);
    }
}

fn packed_again(files: &[ChartFile]) -> Option<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.data.len() as u64);
        let name = format!("chart/{}", file.name);
        builder.append_data(&mut header, name, &*file.data).ok()?;
    }
    Some(gzip(&builder.into_inner().ok()?))
}

fn check_chart(chart: &Chart, depth: u64) {
    assert!(depth <= LIMITS.depth);
    for dependency in &chart.dependencies {
        check_chart(dependency, depth + 1);
    }
}

fuzz_target!(|data: &[u8]| {
    let bytes = archive(data);
    if let Ok(files) = read_archive(&bytes, LIMITS) {
        check_files(&files);
        // A byte order mark is lost once; names that tar itself refuses to write cannot be packed.
        let has_mark = files.iter().any(|file| file.data.starts_with("\u{feff}".as_bytes()));
        if let Some(again) = packed_again(&files).filter(|_| !has_mark) {
            assert_eq!(read_archive(&again, LIMITS).as_ref(), Ok(&files));
        }
    }
    let loaded = load_chart_archive(&bytes, LIMITS);
    if let Ok(chart) = &loaded {
        check_chart(chart, 0);
        assert!(!chart.name().is_empty());
    }
    let again = load_chart_archive(&bytes, LIMITS);
    assert_eq!(format!("{loaded:?}"), format!("{again:?}"));
});
