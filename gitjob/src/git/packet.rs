//! Git's packet lines, read and written.
//!
//! Owns the framing of protocol versions 0 and 2. Knows nothing of requests. Start at [`lines`].

/// One packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    /// `0000`.
    Flush,
    /// `0001`.
    Delimiter,
    /// `0002`.
    End,
    /// The content without its trailing newline.
    Data(&'a [u8]),
}

/// Splits a body into packets; the error says what does not fit.
pub(super) fn lines(mut body: &[u8]) -> Result<Vec<Packet<'_>>, String> {
    let mut packets = Vec::new();
    while !body.is_empty() {
        let length = body.get(..4).and_then(|digits| std::str::from_utf8(digits).ok());
        let length = length.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        match length {
            Some(0) => packets.push(Packet::Flush),
            Some(1) => packets.push(Packet::Delimiter),
            Some(2) => packets.push(Packet::End),
            Some(length) if length >= 4 && length <= body.len() => {
                let data = &body[4..length];
                packets.push(Packet::Data(data.strip_suffix(b"\n").unwrap_or(data)));
                body = &body[length..];
                continue;
            }
            Some(_) => return Err("a packet is cut short".to_owned()),
            None => return Err("the answer is not made of packets".to_owned()),
        }
        body = &body[4..];
    }
    Ok(packets)
}

/// Appends one data packet, newline included.
pub(super) fn push(body: &mut Vec<u8>, text: &str) {
    body.extend_from_slice(format!("{:04x}{text}\n", text.len() + 5).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_as_written() {
        let mut body = Vec::new();
        push(&mut body, "command=ls-refs");
        body.extend_from_slice(b"0001");
        push(&mut body, "peel");
        body.extend_from_slice(b"0000");
        assert!(body.starts_with(b"0014command=ls-refs\n"));
        let packets = lines(&body).unwrap();
        let expected = [
            Packet::Data(b"command=ls-refs"),
            Packet::Delimiter,
            Packet::Data(b"peel"),
            Packet::Flush,
        ];
        assert_eq!(packets, expected);
    }

    #[test]
    fn what_is_no_packet_is_an_error() {
        for bad in [&b"<html>"[..], b"0010abc", b"0003", b"00"] {
            assert!(lines(bad).is_err(), "{bad:?}");
        }
    }
}
