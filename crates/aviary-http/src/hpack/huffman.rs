//! The Huffman code of HPACK.
//!
//! The code is canonical: codes of one length follow each other in the order of their bytes, and
//! the next length begins where the last one ended. So the lengths tell all of it.
//!
//! Source: RFC 7541 §5.2, Appendix B.

use super::Broken;

/// Bits of the code of each byte.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5,
    5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6,
    6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22,
    23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22,
    21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20,
    22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19,
    21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22,
    22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];

/// Bits of the longest code, which is also that of the end mark.
const LONGEST: usize = 30;

/// Bits that are looked up at once: no code of a letter, a digit or a common mark is longer.
const QUICK: u32 = 8;

/// The codes as tables.
struct Codes {
    /// Code of each byte, in its lower bits.
    of: [u32; 256],
    /// Byte and length of the code at the start of any eight bits; length 0 when it is longer.
    quick: [(u8, u8); 1 << QUICK],
    /// Of each length: the first 32 bits from which on codes are longer.
    ends: [u64; LONGEST + 1],
    /// Of each length: its first code, and where its bytes begin in `sorted`.
    firsts: [(u32, usize); LONGEST + 1],
    /// All bytes by their codes.
    sorted: [u8; 256],
}

static CODES: Codes = codes();

#[expect(
    clippy::cast_possible_truncation,
    reason = "bytes are counted to 256, and codes have at most 30 bits"
)]
const fn codes() -> Codes {
    let mut all = Codes {
        of: [0; 256],
        quick: [(0, 0); 1 << QUICK],
        ends: [0; LONGEST + 1],
        firsts: [(0, 0); LONGEST + 1],
        sorted: [0; 256],
    };
    let (mut length, mut code, mut at) = (1, 0_u32, 0);
    while length <= LONGEST {
        code <<= 1;
        all.firsts[length] = (code, at);
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                all.of[byte] = code;
                all.sorted[at] = byte as u8;
                if length <= QUICK as usize {
                    let spare = QUICK as usize - length;
                    let start = (code as usize) << spare;
                    let mut filled = 0;
                    while filled < 1 << spare {
                        all.quick[start + filled] = (byte as u8, length as u8);
                        filled += 1;
                    }
                }
                at += 1;
                code += 1;
            }
            byte += 1;
        }
        all.ends[length] = (code as u64) << (32 - length);
        length += 1;
    }
    all
}

/// Appends what `input` stands for.
///
/// # Errors
/// When it holds the end mark, or ends in anything but the beginning of it.
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    out.reserve(input.len() * 8 / 5 + 1);
    let mut input = input.iter();
    // The next bits, at the top, and how many there are.
    let (mut held, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56 {
            let Some(byte) = input.next() else { break };
            held |= u64::from(*byte) << (56 - count);
            count += 8;
        }
        if count == 0 {
            return Ok(());
        }
        let (byte, length) = CODES.quick[(held >> (64 - QUICK)) as usize];
        let (byte, length) = if length > 0 {
            (byte, u32::from(length))
        } else {
            match long((held >> 32) as u32) {
                Some(found) => found,
                None => return padding(held, count),
            }
        };
        if length > count {
            return padding(held, count);
        }
        out.push(byte);
        held <<= length;
        count -= length;
    }
}

/// Byte and length of the code at the start of `bits`; `None` for the end mark.
fn long(bits: u32) -> Option<(u8, u32)> {
    let mut length = QUICK as usize + 1;
    while length <= LONGEST {
        if u64::from(bits) < CODES.ends[length] {
            let (first, at) = CODES.firsts[length];
            let code = bits >> (32 - length);
            let byte = *CODES.sorted.get(at + (code - first) as usize)?;
            return Some((byte, u32::try_from(length).ok()?));
        }
        length += 1;
    }
    None
}

/// The last bits: fewer than eight, and all of them ones.
fn padding(held: u64, count: u32) -> Result<(), Broken> {
    if count < 8 && (!held) >> (64 - count) == 0 {
        Ok(())
    } else {
        Err(Broken)
    }
}

/// Bytes that `text` has when it is encoded.
pub(super) fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text
        .iter()
        .map(|byte| usize::from(LENGTHS[usize::from(*byte)]))
        .sum();
    bits.div_ceil(8)
}

/// Appends `text` encoded.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a byte at a time is taken off"
)]
pub(super) fn encode(text: &[u8], out: &mut Vec<u8>) {
    // The bits that are not written, at the bottom, and how many there are: fewer than eight.
    let (mut held, mut count) = (0_u64, 0_u32);
    for byte in text {
        let byte = usize::from(*byte);
        held = held << LENGTHS[byte] | u64::from(CODES.of[byte]);
        count += u32::from(LENGTHS[byte]);
        while count >= 8 {
            count -= 8;
            out.push((held >> count) as u8);
        }
    }
    if count > 0 {
        let spare = 8 - count;
        out.push((held << spare) as u8 | ((1_u8 << spare) - 1));
    }
}
