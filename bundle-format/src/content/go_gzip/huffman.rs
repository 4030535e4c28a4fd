//! Tokens to bits.
//!
//! Owns blocks: how their codes are made, and whether a block is stored, written with the fixed
//! codes or with codes of its own (RFC 1951, ties as Go breaks them). Must not know how tokens are
//! found. Start at [`write_block`].

use super::Token;

const END_OF_BLOCK: usize = 256;
const FIRST_LENGTH_CODE: usize = 257;
const LITERAL_CODES: usize = 286;
const DISTANCE_CODES: usize = 30;

/// The longest block that can be stored as it is.
const MAX_STORED: usize = 65_535;

/// Order in which the lengths of the codes of code lengths are written (RFC 1951, 3.2.7).
const LENGTH_ORDER: [usize; 19] =
    [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Collects bits, the lowest of each byte first.
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    bits: u64,
    count: u32,
}

impl BitWriter {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, bits: 0, count: 0 }
    }

    fn put(&mut self, bits: u32, count: u32) {
        self.bits |= u64::from(bits) << self.count;
        self.count += count;
        while self.count >= 8 {
            self.bytes.push(self.bits as u8);
            self.bits >>= 8;
            self.count -= 8;
        }
    }

    fn put_code(&mut self, code: Code) {
        self.put(code.bits, code.length);
    }

    fn align(&mut self) {
        self.put(0, (8 - self.count) % 8);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.align();
        self.bytes
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Code {
    bits: u32,
    length: u32,
}

/// The number of the code for a length or distance, its extra bits and how many those are.
#[derive(Clone, Copy)]
struct Extra {
    code: usize,
    bits: u32,
    count: u32,
}

/// Codes of lengths: four for each number of extra bits, eight without any.
fn length_code(length: u16) -> Extra {
    let above = u32::from(length) - 3;
    // The longest length has a code of its own.
    match above {
        255 => Extra { code: 28, bits: 0, count: 0 },
        0..8 => Extra { code: above as usize, bits: 0, count: 0 },
        _ => split(above, 2),
    }
}

/// Codes of distances: two for each number of extra bits, four without any.
fn distance_code(distance: u16) -> Extra {
    let above = u32::from(distance) - 1;
    if above < 4 { Extra { code: above as usize, bits: 0, count: 0 } } else { split(above, 1) }
}

/// Cuts a number into its highest bits, which select the code, and the rest. `kept` bits stay
/// below the highest one.
fn split(number: u32, kept: u32) -> Extra {
    let count = 31 - number.leading_zeros() - kept;
    let top = number >> count;
    let code = (count << kept) + top;
    Extra { code: code as usize, bits: number & ((1 << count) - 1), count }
}

/// How often each code occurs in a block.
struct Counts {
    literals: [u32; LITERAL_CODES],
    distances: [u32; DISTANCE_CODES],
    extra_bits: usize,
}

impl Counts {
    fn of(tokens: &[Token]) -> Self {
        let mut counts =
            Self { literals: [0; LITERAL_CODES], distances: [0; DISTANCE_CODES], extra_bits: 0 };
        for token in tokens {
            match *token {
                Token::Literal(byte) => counts.literals[usize::from(byte)] += 1,
                Token::Repeat { length, distance } => {
                    let (length, distance) = (length_code(length), distance_code(distance));
                    counts.literals[FIRST_LENGTH_CODE + length.code] += 1;
                    counts.distances[distance.code] += 1;
                    counts.extra_bits += (length.count + distance.count) as usize;
                }
            }
        }
        counts.literals[END_OF_BLOCK] = 1;
        // A block without repetitions still declares one distance.
        if counts.distances.iter().all(|count| *count == 0) {
            counts.distances[0] = 1;
        }
        counts
    }
}

/// Writes a block that is not the last one. `stored` are its bytes, where they may be written as
/// they are.
pub(super) fn write_block(writer: &mut BitWriter, tokens: &[Token], stored: Option<&[u8]>) {
    let counts = Counts::of(tokens);
    let stored = stored.filter(|bytes| bytes.len() <= MAX_STORED);
    // Extra bits are the same in both kinds of codes; Go leaves them out when it compares no more
    // than these two.
    let extra_bits = if stored.is_some() { counts.extra_bits } else { 0 };
    let literals = make_codes(&counts.literals, 15);
    let distances = make_codes(&counts.distances, 15);
    let header = DynamicHeader::of(&literals, &distances);
    let (fixed_literals, fixed_distances) = fixed_codes();
    let cost = |literals: &[Code], distances: &[Code]| {
        total_bits(&counts.literals, literals) + total_bits(&counts.distances, distances)
    };
    let fixed_size = 3 + cost(&fixed_literals, &fixed_distances) + extra_bits;
    let own_size = header.bits() + cost(&literals, &distances) + extra_bits;
    let best_size = fixed_size.min(own_size);
    if let Some(bytes) = stored.filter(|bytes| (bytes.len() + 5) * 8 < best_size) {
        write_stored_header(writer, bytes.len() as u16, false);
        writer.bytes.extend_from_slice(bytes);
    } else if own_size < fixed_size {
        header.write(writer);
        write_tokens(writer, tokens, &literals, &distances);
    } else {
        writer.put(0b010, 3);
        write_tokens(writer, tokens, &fixed_literals, &fixed_distances);
    }
}

/// Writes the header of a stored block; its bytes follow.
pub(super) fn write_stored_header(writer: &mut BitWriter, length: u16, is_last: bool) {
    writer.put(u32::from(is_last), 3);
    writer.align();
    writer.put(u32::from(length), 16);
    writer.put(u32::from(!length), 16);
}

fn write_tokens(writer: &mut BitWriter, tokens: &[Token], literals: &[Code], distances: &[Code]) {
    for token in tokens {
        match *token {
            Token::Literal(byte) => writer.put_code(literals[usize::from(byte)]),
            Token::Repeat { length, distance } => {
                let length = length_code(length);
                writer.put_code(literals[FIRST_LENGTH_CODE + length.code]);
                writer.put(length.bits, length.count);
                let distance = distance_code(distance);
                writer.put_code(distances[distance.code]);
                writer.put(distance.bits, distance.count);
            }
        }
    }
    writer.put_code(literals[END_OF_BLOCK]);
}

fn total_bits(counts: &[u32], codes: &[Code]) -> usize {
    counts.iter().zip(codes).map(|(count, code)| *count as usize * code.length as usize).sum()
}

/// The codes that need no header (RFC 1951, 3.2.6).
fn fixed_codes() -> (Vec<Code>, Vec<Code>) {
    let length = |symbol: usize| match symbol {
        0..144 | 280.. => 8,
        144..256 => 9,
        256..280 => 7,
    };
    let mut literals = number_codes(&(0..288).map(length).collect::<Vec<_>>());
    literals.truncate(LITERAL_CODES);
    (literals, number_codes(&[5; DISTANCE_CODES]))
}

/// Codes of at most `max_length` bits for symbols that occur this often.
fn make_codes(counts: &[u32], max_length: usize) -> Vec<Code> {
    let mut leaves: Vec<(u32, usize)> = counts
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0)
        .map(|(symbol, count)| (*count, symbol))
        .collect();
    let mut lengths = vec![0; counts.len()];
    if leaves.len() <= 2 {
        leaves.iter().for_each(|&(_, symbol)| lengths[symbol] = 1);
        return number_codes(&lengths);
    }
    leaves.sort_unstable();
    let per_length = codes_per_length(&leaves, max_length);
    // The rarest symbols get the longest codes.
    let mut from_longest = per_length.iter().enumerate().rev();
    let mut left = 0;
    let mut length = 0;
    for &(_, symbol) in &leaves {
        while left == 0 {
            let Some((bits, count)) = from_longest.next() else { break };
            (length, left) = (bits as u32 + 1, *count);
        }
        lengths[symbol] = length;
        left = left.saturating_sub(1);
    }
    number_codes(&lengths)
}

/// How many codes there are of one bit, two bits and so on: the package-merge method, a package
/// before a leaf of the same weight.
fn codes_per_length(leaves: &[(u32, usize)], max_length: usize) -> Vec<usize> {
    let levels = max_length.min(leaves.len() - 1);
    // Per level, from the longest codes to the shortest: what is in the list, cheapest first.
    let mut lists: Vec<Vec<Item>> = Vec::with_capacity(levels);
    for _ in 0..levels {
        let packages: Vec<u64> = lists.last().map_or_else(Vec::new, |below| {
            below.chunks_exact(2).map(|pair| pair[0].weight + pair[1].weight).collect()
        });
        lists.push(merge_items(leaves, &packages));
    }
    let mut wanted = 2 * leaves.len() - 2;
    let mut at_least = Vec::with_capacity(levels);
    for list in lists.iter().rev() {
        let taken = &list[..wanted];
        let leaf_count = taken.iter().filter(|item| item.is_leaf).count();
        wanted = 2 * (taken.len() - leaf_count);
        at_least.push(leaf_count);
    }
    let longer = at_least.iter().skip(1).chain(&[0]);
    at_least.iter().zip(longer).map(|(count, longer)| count - longer).collect()
}

#[derive(Clone, Copy)]
struct Item {
    weight: u64,
    is_leaf: bool,
}

fn merge_items(leaves: &[(u32, usize)], packages: &[u64]) -> Vec<Item> {
    let mut leaves = leaves.iter().map(|&(count, _)| u64::from(count)).peekable();
    let mut packages = packages.iter().copied().peekable();
    let mut items = Vec::new();
    loop {
        let is_leaf = match (leaves.peek(), packages.peek()) {
            (Some(leaf), Some(package)) => leaf < package,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return items,
        };
        let weight = if is_leaf { leaves.next() } else { packages.next() };
        items.extend(weight.map(|weight| Item { weight, is_leaf }));
    }
}

/// Numbers the codes of these lengths: by length, then by symbol (RFC 1951, 3.2.2).
fn number_codes(lengths: &[u32]) -> Vec<Code> {
    let mut codes = vec![Code::default(); lengths.len()];
    let mut next = 0_u32;
    for length in 1..=15 {
        next <<= 1;
        for (symbol, _) in lengths.iter().enumerate().filter(|(_, own)| **own == length) {
            codes[symbol] = Code { bits: next.reverse_bits() >> (32 - length), length };
            next += 1;
        }
    }
    codes
}

/// The header of a block with codes of its own: their lengths, themselves packed.
struct DynamicHeader {
    literal_count: usize,
    distance_count: usize,
    /// Symbols of the packed lengths, with extra bits and how many those are.
    symbols: Vec<(usize, u32, u32)>,
    codes: Vec<Code>,
    code_count: usize,
}

impl DynamicHeader {
    fn of(literals: &[Code], distances: &[Code]) -> Self {
        let used = |codes: &[Code]| codes.iter().rposition(|c| c.length > 0).map_or(0, |at| at + 1);
        let (literal_count, distance_count) = (used(literals), used(distances));
        let lengths: Vec<u32> = literals[..literal_count]
            .iter()
            .chain(&distances[..distance_count])
            .map(|code| code.length)
            .collect();
        let symbols = pack_lengths(&lengths);
        let mut counts = [0; 19];
        symbols.iter().for_each(|(symbol, _, _)| counts[*symbol] += 1);
        let code_count = LENGTH_ORDER.iter().rposition(|&s| counts[s] > 0).map_or(4, |at| at + 1);
        let codes = make_codes(&counts, 7);
        Self { literal_count, distance_count, symbols, codes, code_count: code_count.max(4) }
    }

    fn bits(&self) -> usize {
        let symbols = self.symbols.iter();
        let packed: u32 =
            symbols.map(|(symbol, _, count)| self.codes[*symbol].length + count).sum();
        3 + 5 + 5 + 4 + 3 * self.code_count + packed as usize
    }

    fn write(&self, writer: &mut BitWriter) {
        writer.put(0b100, 3);
        writer.put((self.literal_count - 257) as u32, 5);
        writer.put((self.distance_count - 1) as u32, 5);
        writer.put((self.code_count - 4) as u32, 4);
        for &symbol in &LENGTH_ORDER[..self.code_count] {
            writer.put(self.codes[symbol].length, 3);
        }
        for &(symbol, bits, count) in &self.symbols {
            writer.put_code(self.codes[symbol]);
            writer.put(bits, count);
        }
    }
}

/// Packs runs of equal lengths: 16 repeats the last one, 17 and 18 stand for zeros.
fn pack_lengths(lengths: &[u32]) -> Vec<(usize, u32, u32)> {
    let mut symbols = Vec::new();
    for run in lengths.chunk_by(|a, b| a == b) {
        let (length, mut left) = (run[0], run.len());
        if length == 0 {
            while left >= 11 {
                let count = left.min(138);
                symbols.push((18, count as u32 - 11, 7));
                left -= count;
            }
            if left >= 3 {
                symbols.push((17, left as u32 - 3, 3));
                left = 0;
            }
        } else {
            symbols.push((length as usize, 0, 0));
            left -= 1;
            while left >= 3 {
                let count = left.min(6);
                symbols.push((16, count as u32 - 3, 2));
                left -= count;
            }
        }
        symbols.extend(std::iter::repeat_n((length as usize, 0, 0), left));
    }
    symbols
}
