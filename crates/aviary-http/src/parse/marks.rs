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

/// Control bytes; tab, CR and LF are among them.
pub(super) enum Controls {}

/// Question marks, and bytes that may not stand in a target, of which the space ends it.
pub(super) enum TargetEnds {}

/// The blocks of an input in order: the position of each, and the bits that `K` finds in it.
pub(super) struct Blocks<'a, K> {
    input: &'a [u8],
    /// Where positions are counted from.
    from: usize,
    next: usize,
    kind: std::marker::PhantomData<K>,
}

impl<'a, K: Kind> Blocks<'a, K> {
    /// The blocks of what is behind `from`, from where their positions are counted.
    pub(super) fn new(input: &'a [u8], from: usize) -> Self {
        Self {
            input,
            from,
            next: from,
            kind: std::marker::PhantomData,
        }
    }
}

impl<K: Kind> Iterator for Blocks<'_, K> {
    type Item = (usize, u64);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let start = self.next;
        let rest = self.input.get(start..)?;
        let bits = match rest.first_chunk() {
            Some(block) => K::find(block),
            None if rest.is_empty() => return None,
            None => last_bits::<K>(self.input, rest),
        };
        self.next = start + BLOCK;
        Some((start - self.from, bits))
    }
}

/// The bits of `rest`, the end of `input` and less than a block.
#[inline(never)]
fn last_bits<K: Kind>(input: &[u8], rest: &[u8]) -> u64 {
    if let Some(block) = input.last_chunk() {
        return K::find(block) >> (BLOCK - rest.len());
    }
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    K::find(&block) & !(u64::MAX << rest.len())
}

/// Positions of the bytes that `K` finds, in order.
pub(super) struct Marks<'a, K> {
    blocks: Blocks<'a, K>,
    /// Position of the block that `bits` is about.
    base: usize,
    bits: u64,
}

impl<'a, K: Kind> Marks<'a, K> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        Self {
            blocks: Blocks::new(input, 0),
            base: 0,
            bits: 0,
        }
    }
}

impl<K: Kind> Iterator for Marks<'_, K> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.bits == 0 {
            (self.base, self.bits) = self.blocks.next()?;
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

/// A bit for each control byte; the tab is one.
#[inline]
pub(crate) fn controls(chunk: &[u8; 16]) -> u32 {
    found::controls(chunk)
}

/// Where the first colon of `input` is, when it is among the first bytes and these can be looked at
/// in one go; `None` means that there may be one.
#[inline]
pub(super) fn early_colon(input: &[u8]) -> Option<usize> {
    let colons = found::colons(input.first_chunk()?);
    (colons != 0).then(|| colons.trailing_zeros() as usize)
}

#[cfg(target_feature = "sse2")]
mod found {
    use safe_arch::{
        bitor_m128i, cmp_eq_mask_i8_m128i, cmp_lt_mask_i8_m128i, load_unaligned_m128i, m128i,
        min_u8_m128i, move_mask_i8_m128i, set_splat_i8_m128i,
    };

    use super::{BLOCK, Controls, Kind, LineFeeds, TargetEnds};

    impl Kind for LineFeeds {
        #[inline]
        fn find(block: &[u8; BLOCK]) -> u64 {
            let feed = set_splat_i8_m128i(0x0a);
            each(block, |bytes| cmp_eq_mask_i8_m128i(bytes, feed))
        }
    }

    impl Kind for Controls {
        #[inline]
        fn find(block: &[u8; BLOCK]) -> u64 {
            each(block, are_controls)
        }
    }

    impl Kind for TargetEnds {
        #[inline]
        fn find(block: &[u8; BLOCK]) -> u64 {
            let first = set_splat_i8_m128i(0x21);
            let delete = set_splat_i8_m128i(0x7f);
            let hash = set_splat_i8_m128i(0x23);
            let question = set_splat_i8_m128i(0x3f);
            each(block, |bytes| {
                // Bytes above 0x7f are negative here.
                let low = cmp_lt_mask_i8_m128i(bytes, first);
                let others = bitor_m128i(
                    cmp_eq_mask_i8_m128i(bytes, delete),
                    cmp_eq_mask_i8_m128i(bytes, hash),
                );
                let query = cmp_eq_mask_i8_m128i(bytes, question);
                bitor_m128i(bitor_m128i(low, query), others)
            })
        }
    }

    #[inline]
    fn are_controls(bytes: m128i) -> m128i {
        let (last_control, delete) = (set_splat_i8_m128i(0x1f), set_splat_i8_m128i(0x7f));
        let low = cmp_eq_mask_i8_m128i(min_u8_m128i(bytes, last_control), bytes);
        bitor_m128i(low, cmp_eq_mask_i8_m128i(bytes, delete))
    }

    /// A bit for each control byte.
    #[inline]
    pub(super) fn controls(chunk: &[u8; 16]) -> u32 {
        move_mask_i8_m128i(are_controls(load_unaligned_m128i(chunk))).cast_unsigned()
    }

    /// A bit for each colon.
    #[inline]
    pub(super) fn colons(chunk: &[u8; 16]) -> u32 {
        let colon = set_splat_i8_m128i(0x3a);
        let found = cmp_eq_mask_i8_m128i(load_unaligned_m128i(chunk), colon);
        move_mask_i8_m128i(found).cast_unsigned()
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
    use super::{BLOCK, Controls, Kind, LineFeeds, TargetEnds};

    impl Kind for LineFeeds {
        fn find(block: &[u8; BLOCK]) -> u64 {
            super::each_byte(block, |byte| byte == b'\n')
        }
    }

    impl Kind for Controls {
        fn find(block: &[u8; BLOCK]) -> u64 {
            super::each_byte(block, |byte| byte.is_ascii_control())
        }
    }

    pub(super) fn controls(chunk: &[u8; 16]) -> u32 {
        let mut bits = chunk.iter().rev();
        bits.fold(0, |bits, byte| {
            bits << 1 | u32::from(byte.is_ascii_control())
        })
    }

    pub(super) fn colons(chunk: &[u8; 16]) -> u32 {
        let mut bits = chunk.iter().rev();
        bits.fold(0, |bits, byte| bits << 1 | u32::from(*byte == b':'))
    }

    impl Kind for TargetEnds {
        fn find(block: &[u8; BLOCK]) -> u64 {
            super::each_byte(block, |byte| {
                byte == b'?' || !crate::request::is_target(&[byte])
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
    use super::{BLOCK, Blocks, Controls, Kind, LineFeeds, Marks, TargetEnds};
    use super::{blank_line, each_byte};

    #[test]
    fn masks_agree_with_a_test_of_each_byte() {
        for byte in 0..=u8::MAX {
            for at in [0, 1, 15, 16, 31, 32, 47, 62, 63] {
                let mut block = [b'a'; BLOCK];
                block[at] = byte;
                block[(at + 7) % BLOCK] = byte;
                let controls = each_byte(&block, |byte| byte.is_ascii_control());
                assert_eq!(Controls::find(&block), controls, "{byte} at {at}");
                let others = each_byte(&block, |byte| {
                    byte == b'?' || !crate::request::is_target(&[byte])
                });
                assert_eq!(TargetEnds::find(&block), others, "{byte} at {at}");
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
    fn blocks_behind_a_start_are_counted_from_it() {
        let input = [b'\n'; 200];
        for length in 0..input.len() {
            for from in 0..=length {
                let found: u32 = Blocks::<LineFeeds>::new(&input[..length], from)
                    .zip(0..)
                    .map(|((position, bits), number)| {
                        assert_eq!(position, BLOCK * number);
                        bits.count_ones()
                    })
                    .sum();
                assert_eq!(found as usize, length - from);
            }
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
