use std::sync::Arc;

use rustls::client::{ClientConfig, ClientConnection};
use rustls::{RootCertStore, crypto::aws_lc_rs};

use super::*;

/// The first bytes of a real client.
fn first_bytes(name: &str, alpn: &[&str]) -> Vec<u8> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|it| it.as_bytes().to_vec()).collect();
    let name = name.to_owned().try_into().unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

#[test]
fn hello_of_a_client_is_read() {
    let bytes = first_bytes("Shop.Example", &["h2", "http/1.1"]);
    let hello = Hello {
        server_name: Some("shop.example".into()),
        alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
    };
    assert_eq!(verdict(&bytes), Verdict::Hello(hello));
    let bare = first_bytes("127.0.0.1", &[]);
    assert_eq!(verdict(&bare), Verdict::Hello(Hello::default()));
}

#[test]
fn hello_in_parts_is_undecided_until_its_end() {
    let bytes = first_bytes("shop.example", &["istio"]);
    for end in 0..bytes.len() {
        assert_eq!(verdict(&bytes[..end]), Verdict::Undecided, "{end}");
    }
}

#[test]
fn hello_in_two_records_is_read() {
    let bytes = first_bytes("shop.example", &["istio"]);
    let (head, body) = bytes.split_at(RECORD_HEAD);
    let (one, two) = body.split_at(20);
    let mut split = Vec::new();
    for part in [one, two] {
        split.extend_from_slice(&head[..3]);
        split.extend_from_slice(&u16::try_from(part.len()).unwrap().to_be_bytes());
        split.extend_from_slice(part);
    }
    assert_eq!(verdict(&split), verdict(&bytes));
}

#[test]
fn other_protocols_are_told_by_their_first_byte() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"SSH-2.0",
        b"\x16\x02",
        b"\x16\x03\x09",
        b"\x16\x03\x01\x00\x00",
        b"\x16\x03\x01\xff\xff",
        b"\x16\x03\x01\x00\x04\x02\x00\x00\x00",
    ] {
        assert_eq!(verdict(bytes), Verdict::Other, "{bytes:?}");
    }
}

#[test]
fn hello_with_any_byte_changed_never_panics() {
    let bytes = first_bytes("shop.example", &["h2"]);
    for at in 0..bytes.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut changed = bytes.clone();
            changed[at] = value;
            let _ = verdict(&changed);
        }
    }
}
