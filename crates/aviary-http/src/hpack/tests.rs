use proptest::prelude::*;

use super::{Broken, Decoder, Encoder, Kind, huffman, integer, standard};
use crate::name::Name;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    let value = |byte: u8| u8::try_from(char::from(byte).to_digit(16).unwrap()).unwrap();
    digits
        .chunks(2)
        .map(|pair| value(pair[0]) << 4 | value(pair[1]))
        .collect()
}

fn read(decoder: &mut Decoder, block: &[u8]) -> Result<Pairs, Broken> {
    let mut fields = Vec::new();
    decoder.decode(block, |field| {
        assert_eq!(field.kind, Kind::of(field.name));
        assert_eq!(field.is_clean, crate::fields::is_clean(field.value));
        fields.push((field.name.to_vec(), field.value.to_vec()));
    })?;
    Ok(fields)
}

fn pairs(fields: &[(&str, &str)]) -> Pairs {
    let bytes = |text: &str| text.as_bytes().to_vec();
    fields.iter().map(|(n, v)| (bytes(n), bytes(v))).collect()
}

fn write(encoder: &mut Encoder, fields: &Pairs) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value) in fields {
        encoder.field(Kind::of(&name.to_ascii_lowercase()), name, value, &mut out);
    }
    out
}

/// Source: RFC 7541 C.3 and C.4, the same requests without and with Huffman code.
#[test]
fn decoder_requests_of_the_rfc_are_read() {
    let plain = [
        "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        "8286 84be 5808 6e6f 2d63 6163 6865",
        "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
    ];
    let huffman = [
        "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        "8286 84be 5886 a8eb 1064 9cbf",
        "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
    ];
    for blocks in [plain, huffman] {
        let mut decoder = Decoder::default();
        let first = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "www.example.com"),
        ];
        assert_eq!(read(&mut decoder, &hex(blocks[0])), Ok(pairs(&first)));
        let second = [&first[..], &[("cache-control", "no-cache")]].concat();
        assert_eq!(read(&mut decoder, &hex(blocks[1])), Ok(pairs(&second)));
        let third = [
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/index.html"),
            (":authority", "www.example.com"),
            ("custom-key", "custom-value"),
        ];
        assert_eq!(read(&mut decoder, &hex(blocks[2])), Ok(pairs(&third)));
    }
}

/// Source: RFC 7541 C.6, with a table of 256 bytes, out of which entries fall.
#[test]
fn decoder_replies_of_the_rfc_are_read_with_a_small_table() {
    let mut decoder = Decoder::default();
    let blocks = [
        "3fe1 01 4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad \
         1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        "4883 640e ffc1 c0bf",
        "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 b335 \
         dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
    ];
    let date = ("date", "Mon, 21 Oct 2013 20:13:21 GMT");
    let location = ("location", "https://www.example.com");
    let expected = [
        vec![
            (":status", "302"),
            ("cache-control", "private"),
            date,
            location,
        ],
        vec![
            (":status", "307"),
            ("cache-control", "private"),
            date,
            location,
        ],
        vec![
            (":status", "200"),
            ("cache-control", "private"),
            ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
            location,
            ("content-encoding", "gzip"),
            (
                "set-cookie",
                "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            ),
        ],
    ];
    for (block, fields) in blocks.iter().zip(&expected) {
        assert_eq!(read(&mut decoder, &hex(block)), Ok(pairs(fields)));
    }
}

#[test]
fn decoder_broken_block_is_refused() {
    for (block, why) in [
        ("80", "number 0"),
        ("be", "an entry that is not there"),
        ("ffff ffff ffff ffff 7f", "a number without end"),
        ("0001 61", "no value"),
        ("0005 6162", "a short string"),
        ("82 3f e1 1f", "a table resized inside a block"),
        ("3f e2 1f", "a table over its limit"),
        ("0001 61 81 00", "padding of zeros"),
        ("0001 61 82 07ff", "padding of a byte"),
        ("0001 61 84 ffff ffff", "the end mark"),
        ("40", "nothing"),
    ] {
        assert_eq!(
            read(&mut Decoder::default(), &hex(block)),
            Err(Broken),
            "{why}"
        );
    }
    assert_eq!(
        read(&mut Decoder::default(), &hex("3f e1 1f")),
        Ok(Vec::new())
    );
}

/// An entry may take its name from one that it drives out.
#[test]
fn decoder_name_of_an_entry_that_falls_out_is_kept() {
    let mut decoder = Decoder::default();
    let resize = [0x3f, 0x10 + 0x19];
    let mut block = resize.to_vec();
    block.extend_from_slice(b"\x40\x04name\x05value");
    block.extend_from_slice(b"\x7e\x0aother-text");
    block.push(0xbe);
    let last = ("name", "other-text");
    let expected = pairs(&[("name", "value"), last, last]);
    assert_eq!(read(&mut decoder, &block), Ok(expected));
}

#[test]
fn kind_of_a_name_is_told_by_its_bytes() {
    for (at, (kind, name, _)) in standard::ENTRIES.iter().enumerate() {
        assert_eq!(Kind::of(name.as_bytes()), *kind, "entry {}", at + 1);
        let first = standard::ENTRIES.iter().position(|it| it.1 == *name);
        if *kind != Kind::Field(Name::Other) {
            assert_eq!(standard::name(*kind), first.map(|at| at + 1));
        }
    }
    for name in ["", "A", "x-A", "x y", "x:y", ":x", ":", "x\0", "\u{e4}"] {
        assert_eq!(Kind::of(name.as_bytes()), Kind::Bad, "{name:?}");
    }
}

#[test]
fn standard_fields_are_found_by_kind_and_value() {
    for (at, (kind, name, value)) in standard::ENTRIES.iter().enumerate() {
        let found = standard::field(*kind, value.as_bytes());
        let expected = (!value.is_empty()).then_some(at + 1);
        assert_eq!(found, expected, "{name}: {value}");
    }
}

#[test]
fn encoder_field_seen_twice_becomes_one_byte() {
    let mut encoder = Encoder::default();
    let mut decoder = Decoder::default();
    let head = pairs(&[
        (":method", "POST"),
        (":path", "/pkg.Service/Call"),
        ("te", "trailers"),
        ("x-own", "a"),
    ]);
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let block = write(&mut encoder, &head);
        lengths.push(block.len());
        assert_eq!(read(&mut decoder, &block), Ok(head.clone()));
    }
    assert!(lengths[1] < lengths[0], "{lengths:?}");
    assert_eq!(lengths[2], 4);
}

#[test]
fn encoder_secret_is_never_kept() {
    let mut encoder = Encoder::default();
    let head = pairs(&[("authorization", "Bearer x"), ("cookie", "a=b")]);
    for _ in 0..3 {
        let block = write(&mut encoder, &head);
        assert_eq!(block[..2], [0x1f, 8]);
        assert_eq!(block[11..13], [0x1f, 32 - 15]);
    }
}

#[test]
fn encoder_resized_says_the_smallest_and_the_last_limit() {
    let mut encoder = Encoder::default();
    let mut decoder = Decoder::default();
    let head = pairs(&[("x-own", "a")]);
    for _ in 0..3 {
        read(&mut decoder, &write(&mut encoder, &head)).unwrap();
    }
    encoder.resize(0);
    encoder.resize(200);
    let block = write(&mut encoder, &head);
    assert_eq!(block[..3], hex("20 3f a9"));
    assert_eq!(read(&mut decoder, &block), Ok(head.clone()));
    encoder.resize(1 << 20);
    let block = write(&mut encoder, &head);
    assert_eq!(block[..3], hex("3f e1 1f"));
    assert_eq!(read(&mut decoder, &block), Ok(head));
}

#[test]
fn number_of_any_size_comes_back() {
    for bits in 1..=7 {
        for number in [0, 1, 2, 62, 63, 64, 126, 127, 128, 255, 1337, 1 << 20] {
            let mut out = Vec::new();
            integer::write((0, bits), number, &mut out);
            let mut rest = out.as_slice();
            assert_eq!(integer::read(&mut rest, bits), Ok(number));
            assert!(rest.is_empty());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn huffman_of_any_bytes_comes_back(text in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut packed = Vec::new();
        huffman::encode(&text, &mut packed);
        prop_assert_eq!(packed.len(), huffman::encoded_len(&text));
        let mut back = Vec::new();
        prop_assert_eq!(huffman::decode(&packed, &mut back), Ok(()));
        prop_assert_eq!(back, text);
    }

    #[test]
    fn heads_of_any_fields_come_back(
        heads in proptest::collection::vec(
            proptest::collection::vec(
                (
                    prop_oneof![
                        "[a-z-]{1,12}",
                        Just("te".to_owned()),
                        Just(":path".to_owned()),
                        Just("x-request-id".to_owned()),
                        Just("cookie".to_owned()),
                    ],
                    prop_oneof!["[ -~]{0,9}", "[a-c]{0,2}", "[ -~]{800,1200}"],
                ),
                0..12,
            ),
            1..12,
        ),
        limits in proptest::collection::vec(0_usize..5000, 12),
    ) {
        let mut encoder = Encoder::default();
        let mut decoder = Decoder::default();
        for (head, limit) in heads.iter().zip(limits) {
            let fields: Vec<_> = head.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let fields = pairs(&fields);
            let again = [fields.clone(), fields.clone()].concat();
            encoder.resize(limit);
            for head in [&fields, &again] {
                let block = write(&mut encoder, head);
                prop_assert_eq!(read(&mut decoder, &block), Ok(head.clone()));
            }
        }
    }

    #[test]
    fn decoder_any_bytes_are_read_or_refused(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 1..8),
    ) {
        let mut decoder = Decoder::default();
        for block in blocks {
            if read(&mut decoder, &block).is_err() {
                break;
            }
        }
    }
}
