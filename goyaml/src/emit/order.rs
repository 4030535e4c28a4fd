//! Puts the keys of a mapping into the order of go-yaml.
//!
//! Owns the comparison: letters after other characters, digits by their value. Knows nothing of
//! values. Start at [`sort_keys`].

use crate::resolve::Dialect;

/// Sorts keys as go-yaml does.
///
/// The comparison is not a total order (`a1` < `a-` < …), so this sorts by merging, which cannot
/// be confused by that, and not with the sort of the standard library, which may panic.
pub(crate) fn sort_keys<T>(keys: &mut Vec<(&str, T)>, dialect: Dialect) {
    let sorted = |pair: &[(&str, T)]| !is_less(pair[1].0, pair[0].0, dialect);
    // Most keys are lower case words, for which byte order is already right.
    if keys.windows(2).all(sorted) {
        return;
    }
    let items = std::mem::take(keys);
    *keys = merge_sort(items, dialect);
}

fn merge_sort<T>(mut left: Vec<(&str, T)>, dialect: Dialect) -> Vec<(&str, T)> {
    if left.len() < 2 {
        return left;
    }
    let right = merge_sort(left.split_off(left.len() / 2), dialect);
    let left = merge_sort(left, dialect);
    let mut sorted = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let take_right = is_less(b.0, a.0, dialect);
        sorted.extend(if take_right { right.next() } else { left.next() });
    }
    sorted.extend(left);
    sorted.extend(right);
    sorted
}

/// Does `a` come before `b`? The first difference decides.
fn is_less(a: &str, b: &str, dialect: Dialect) -> bool {
    let mut at = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count();
    while !a.is_char_boundary(at) {
        at -= 1;
    }
    let (Some(x), Some(y)) = (a[at..].chars().next(), b[at..].chars().next()) else {
        return a.len() < b.len();
    };
    match (x.is_alphabetic(), y.is_alphabetic()) {
        (true, true) => return x < y,
        (false, false) => {}
        (x_is_letter, y_is_letter) => {
            // v3 lets a word end before a number goes on: `a2b` < `a21`.
            let after_digit = a[..at].chars().next_back().is_some_and(|c| c.is_ascii_digit());
            let letter_first = dialect == Dialect::V3 && after_digit;
            return if letter_first { x_is_letter } else { y_is_letter };
        }
    }
    // A zero counts as a digit of a number that is under way: `10` and `1`, not `01` and `1`.
    let under_way = (x == '0' || y == '0')
        && a[..at].bytes().rev().take_while(u8::is_ascii_digit).any(|digit| digit != b'0');
    let (x_number, x_len) = leading_number(&a[at..], under_way);
    let (y_number, y_len) = leading_number(&b[at..], under_way);
    (x_number, x_len, x) < (y_number, y_len, y)
}

fn leading_number(text: &str, under_way: bool) -> (i64, usize) {
    let digits = text.bytes().take_while(u8::is_ascii_digit);
    digits.fold((i64::from(under_way), 0), |(number, len), digit| {
        (number.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')), len + 1)
    })
}
