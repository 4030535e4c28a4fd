//! gzip, byte for byte as Go's `compress/gzip` writes it at its default level.
//!
//! The packed form of a file is part of a bundle's manifest and so of its identity: another
//! packer's bytes unpack to the same file but name another content, and a fleet that is taken over
//! would deploy everything again. Owns the search for repetitions and the order of decisions that
//! make Go's bytes what they are. Must not know bundles. Start at [`gzip`]. Judged by the recorded
//! Content objects of Rancher Fleet 0.16 (golden test of `fleet target`).

mod huffman;
mod matches;

use huffman::{BitWriter, write_block, write_stored_header};
use matches::Matcher;

/// Header: deflate, no flags, no time, default level, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// Tokens after which a block ends.
const BLOCK_TOKENS: usize = 1 << 14;

/// A literal byte, or a repetition of `length` bytes from `distance` back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Literal(u8),
    Repeat { length: u16, distance: u16 },
}

/// Packs bytes.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = BitWriter::new(HEADER.to_vec());
    let mut matcher = Matcher::new(bytes);
    let mut tokens = Vec::with_capacity(BLOCK_TOKENS);
    let mut block_start = 0;
    while let Some(token) = matcher.next_token() {
        tokens.push(token);
        if tokens.len() == BLOCK_TOKENS {
            let block_end = matcher.written();
            write_block(&mut writer, &tokens, matcher.window(block_start, block_end));
            tokens.clear();
            block_start = block_end;
        }
    }
    if !tokens.is_empty() {
        write_block(&mut writer, &tokens, matcher.window(block_start, bytes.len()));
    }
    // An empty stored block carries the mark of the end.
    write_stored_header(&mut writer, 0, true);
    let mut packed = writer.finish();
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    packed.extend(crc.sum().to_le_bytes());
    packed.extend(crc.amount().to_le_bytes());
    packed
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::api::names::{hex, sha256_hex};

    fn unpack(packed: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(packed).read_to_end(&mut bytes).expect("valid gzip");
        bytes
    }

    /// Bytes of every kind: noise, few letters, slow change, nothing, words in noise, both in turn.
    fn samples() -> Vec<Vec<u8>> {
        let mut noise = 1_u32;
        let mut random = || {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 24) as u8
        };
        let words = b"kind: metadata\n";
        vec![
            (0..70_000).map(|_| random()).collect(),
            (0..70_000).map(|_| random() % 4).collect(),
            (0..150_000_u32).map(|i| (i / 7 % 251) as u8).collect(),
            vec![0; 100_000],
            (0..150_000)
                .map(|i| match random() {
                    0..200 => words[i % words.len()],
                    byte => byte,
                })
                .collect(),
            (0..180_000)
                .map(|i| match (random(), i % 40_000) {
                    (byte, 0..20_000) => byte,
                    (byte, _) => byte % 16,
                })
                .collect(),
        ]
    }

    #[test]
    fn bytes_are_packed_as_go_packs_them() {
        // Recorded from Go 1.26, compress/gzip at its default level: lengths and sha256.
        let recorded = [
            (70_048, "63914d867ad90ec8445e85bb70b3f195df0ad056cdb4d115eedeb0f11c1a33fe"),
            (21_011, "c05dd0fff5a6c2588baee58e5b10c02b4d402a762164d52b76497bb5570873c9"),
            (1257, "6f0b0947cce7db79905af8f1d8817a0319695c9bccaaef4a0760cd88cc750c53"),
            (136, "2c3bd0dcae7481dbd993f026109daf7f47cccda0b628ee991115677d207d98be"),
            (58_997, "7c52337b97ab31ac2eeca15d780dc96afbed64983c0eca9042aa07d603cf60fb"),
            (151_149, "7fed474d45339c7edb01dbb2a9b6f927b50a63ce3a2fe78614b8d4ab40b3a363"),
        ];
        for (bytes, (length, sha256)) in samples().iter().zip(recorded) {
            let packed = gzip(bytes);
            assert!(unpack(&packed) == *bytes, "{} bytes do not come back", bytes.len());
            assert_eq!((packed.len(), sha256_hex(&packed).as_str()), (length, sha256));
        }
    }

    #[test]
    fn small_texts_are_packed_as_go_packs_them() {
        // Recorded from Go 1.26: what stands between header and trailer.
        let manifests = "apiVersion: v1\nkind: ConfigMap\n".repeat(3);
        for (text, body) in [
            ("", "010000ffff"),
            ("a", "4a04040000ffff"),
            ("aaaaaaaaaa", "4a840340000000ffff"),
            ("hello, world\n", "ca48cdc9c9d75128cf2fca49e102040000ffff"),
            (
                &manifests,
                "4a2cc80c4b2d2acecccfb3522833e4cacecc4bb15270cecf4bcb4cf74d2ce0a24c1a100000ffff",
            ),
        ] {
            let packed = gzip(text.as_bytes());
            assert_eq!(hex(&packed[10..packed.len() - 8]), body, "{text:?}");
        }
    }
}
