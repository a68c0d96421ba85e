//! Numbers with a prefix.
//!
//! Source: RFC 7541 §5.1.

use super::Broken;

/// Bytes behind the prefix that are read; 28 bits of a number are more than any length needs.
const MOST: u32 = 4;

/// Takes a number off `input` whose first byte has it in its lower `bits`.
pub(super) fn read(input: &mut &[u8], bits: u8) -> Result<usize, Broken> {
    let (first, mut rest) = input.split_first().ok_or(Broken)?;
    let most = (1_usize << bits) - 1;
    let mut number = usize::from(*first) & most;
    if number == most {
        let mut shift = 0;
        loop {
            let (byte, left) = rest.split_first().ok_or(Broken)?;
            rest = left;
            number += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
            if shift >= 7 * MOST {
                return Err(Broken);
            }
        }
    }
    *input = rest;
    Ok(number)
}

/// Appends a number behind the bits of a form.
pub(super) fn write((mark, bits): (u8, u8), number: usize, out: &mut Vec<u8>) {
    let most = (1_u8 << bits) - 1;
    match u8::try_from(number) {
        Ok(small) if small < most => out.push(mark | small),
        _ => {
            out.push(mark | most);
            let mut rest = number - usize::from(most);
            while rest >= 0x80 {
                out.push(low_bits(rest) | 0x80);
                rest >>= 7;
            }
            out.push(low_bits(rest));
        }
    }
}

/// The lower seven bits.
#[expect(clippy::cast_possible_truncation, reason = "only seven bits are left")]
fn low_bits(number: usize) -> u8 {
    (number & 0x7f) as u8
}
