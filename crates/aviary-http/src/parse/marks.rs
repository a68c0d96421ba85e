//! The bytes that structure a head, found 64 at a time.

/// Bytes that are looked at in one go.
const BLOCK: usize = 64;

/// What to find.
pub(super) trait Kind {
    /// A bit for each byte of the block that is found, the first byte's lowest.
    fn find(block: &[u8; BLOCK]) -> u64;
}

/// Line feeds.
pub(super) enum LineFeeds {}

/// Colons, and all control bytes but the tab; CR and LF are among them.
pub(super) enum Structure {}

/// Positions of the bytes that `K` finds, in order.
pub(super) struct Marks<'a, K> {
    rest: &'a [u8],
    /// Position of the block that `bits` is about.
    base: usize,
    /// Position of `rest`.
    next: usize,
    bits: u64,
    kind: std::marker::PhantomData<K>,
}

impl<'a, K: Kind> Marks<'a, K> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self {
            rest: input,
            base: 0,
            next: 0,
            bits: 0,
            kind: std::marker::PhantomData,
        }
    }
}

impl<K: Kind> Iterator for Marks<'_, K> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            self.base = self.next;
            if let Some((block, rest)) = self.rest.split_first_chunk() {
                self.bits = K::find(block);
                self.rest = rest;
                self.next += BLOCK;
            } else if self.rest.is_empty() {
                return None;
            } else {
                // Spaces are found by nobody.
                let mut block = [b' '; BLOCK];
                block[..self.rest.len()].copy_from_slice(self.rest);
                self.bits = K::find(&block);
                self.next += self.rest.len();
                self.rest = &[];
            }
        }
        let at = self.base + self.bits.trailing_zeros() as usize;
        self.bits &= self.bits - 1;
        Some(at)
    }
}

/// Where the first CRLF CRLF ends.
pub(super) fn blank_line(input: &[u8]) -> Option<usize> {
    // Bits of the two bytes before the block, in the lowest places.
    let mut before = 0;
    let mut base = 0;
    let mut rest = input;
    loop {
        let padded;
        let (block, after) = match rest.split_first_chunk::<BLOCK>() {
            Some(split) => split,
            None if rest.is_empty() => return None,
            None => {
                let mut block = [b' '; BLOCK];
                block[..rest.len()].copy_from_slice(rest);
                padded = block;
                (&padded, &[][..])
            }
        };
        let feeds = LineFeeds::find(block);
        let mut ends = feeds & (feeds << 2 | before);
        while ends != 0 {
            let end = base + ends.trailing_zeros() as usize + 1;
            if input[..end].ends_with(b"\r\n\r\n") {
                return Some(end);
            }
            ends &= ends - 1;
        }
        before = feeds >> (BLOCK - 2);
        base += BLOCK;
        rest = after;
    }
}

#[cfg(target_feature = "sse2")]
mod found {
    use safe_arch::{
        bitandnot_m128i, bitor_m128i, cmp_eq_mask_i8_m128i, load_unaligned_m128i, m128i,
        min_u8_m128i, move_mask_i8_m128i, set_splat_i8_m128i,
    };

    use super::{BLOCK, Kind, LineFeeds, Structure};

    impl Kind for LineFeeds {
        #[inline]
        fn find(block: &[u8; BLOCK]) -> u64 {
            let feed = set_splat_i8_m128i(0x0a);
            each(block, |bytes| cmp_eq_mask_i8_m128i(bytes, feed))
        }
    }

    impl Kind for Structure {
        #[inline]
        fn find(block: &[u8; BLOCK]) -> u64 {
            let last_control = set_splat_i8_m128i(0x1f);
            let tab = set_splat_i8_m128i(0x09);
            let delete = set_splat_i8_m128i(0x7f);
            let colon = set_splat_i8_m128i(0x3a);
            each(block, |bytes| {
                let low = cmp_eq_mask_i8_m128i(min_u8_m128i(bytes, last_control), bytes);
                let control = bitandnot_m128i(cmp_eq_mask_i8_m128i(bytes, tab), low);
                let others = bitor_m128i(
                    cmp_eq_mask_i8_m128i(bytes, delete),
                    cmp_eq_mask_i8_m128i(bytes, colon),
                );
                bitor_m128i(control, others)
            })
        }
    }

    /// The mask of a block from that of 16 bytes.
    #[inline]
    fn each(block: &[u8; BLOCK], find: impl Fn(m128i) -> m128i) -> u64 {
        let (pieces, _) = block.as_chunks::<16>();
        let mut bits = 0;
        for (number, piece) in pieces.iter().enumerate() {
            let found = move_mask_i8_m128i(find(load_unaligned_m128i(piece)));
            bits |= u64::from(found.cast_unsigned()) << (16 * number);
        }
        bits
    }
}

#[cfg(not(target_feature = "sse2"))]
mod found {
    use super::{BLOCK, Kind, LineFeeds, Structure};

    impl Kind for LineFeeds {
        fn find(block: &[u8; BLOCK]) -> u64 {
            super::each_byte(block, |byte| byte == b'\n')
        }
    }

    impl Kind for Structure {
        fn find(block: &[u8; BLOCK]) -> u64 {
            super::each_byte(block, |byte| {
                byte == b':' || crate::fields::is_control(byte)
            })
        }
    }
}

/// The mask of a block from a test of each byte.
#[cfg(any(test, not(target_feature = "sse2")))]
fn each_byte(block: &[u8; BLOCK], found: impl Fn(u8) -> bool) -> u64 {
    block
        .iter()
        .rev()
        .fold(0, |bits, byte| bits << 1 | u64::from(found(*byte)))
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, Kind, LineFeeds, Marks, Structure, blank_line, each_byte};

    #[test]
    fn masks_agree_with_a_test_of_each_byte() {
        for byte in 0..=u8::MAX {
            for at in [0, 1, 15, 16, 31, 32, 47, 62, 63] {
                let mut block = [b'a'; BLOCK];
                block[at] = byte;
                block[(at + 7) % BLOCK] = byte;
                let structure = each_byte(&block, |byte| {
                    byte == b':' || crate::fields::is_control(byte)
                });
                assert_eq!(Structure::find(&block), structure, "{byte} at {at}");
                let feeds = each_byte(&block, |byte| byte == b'\n');
                assert_eq!(LineFeeds::find(&block), feeds, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn marks_of_any_length_are_all_found() {
        for length in 0..200 {
            let input: Vec<u8> = (0..length)
                .map(|at| if at % 7 == 0 { b'\n' } else { b'x' })
                .collect();
            let found: Vec<usize> = Marks::<LineFeeds>::new(&input).collect();
            assert_eq!(found, (0..length).step_by(7).collect::<Vec<_>>());
        }
    }

    #[test]
    fn blank_line_anywhere_is_found() {
        for at in 0..200 {
            let mut input = vec![b'x'; 220];
            input[at..at + 4].copy_from_slice(b"\r\n\r\n");
            assert_eq!(blank_line(&input), Some(at + 4));
            assert_eq!(blank_line(&input[..at + 4]), Some(at + 4));
            assert_eq!(blank_line(&input[..at + 3]), None);
            input[at] = b'\n';
            assert_eq!(blank_line(&input), None);
        }
    }
}
