use std::time::Duration;

use super::{Flood, FloodLimits, Guard, Rate};

const MS: Duration = Duration::from_millis(1);

fn frame(kind: u8, flags: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
    bytes.extend_from_slice(body);
    bytes
}

fn reset(code: u32) -> Vec<u8> {
    frame(3, 0, &code.to_be_bytes())
}

fn guard() -> Guard {
    let mut guard = Guard::new(&FloodLimits::of_client());
    guard
        .see(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Duration::ZERO)
        .unwrap();
    guard
}

/// How many of `bytes` sent at once pass, at most 1,000, and what ends it.
fn flood(bytes: &[u8]) -> (usize, Option<Flood>) {
    let mut guard = guard();
    for passed in 0..1000 {
        if let Err(flood) = guard.see(bytes, 5 * MS) {
            return (passed, Some(flood));
        }
    }
    (1000, None)
}

#[test]
fn flood_of_each_kind_ends_at_its_limit() {
    assert_eq!(flood(&reset(8)), (100, Some(Flood::Resets)));
    assert_eq!(flood(&frame(6, 0, &[0; 8])), (100, Some(Flood::Pings)));
    assert_eq!(flood(&frame(4, 0, &[])), (50, Some(Flood::Settings)));
    assert_eq!(flood(&frame(0, 0, &[])), (100, Some(Flood::EmptyData)));
    assert_eq!(flood(&frame(2, 0, &[0; 5])), (100, Some(Flood::Priority)));
    assert_eq!(flood(&frame(0xfa, 0, &[])), (100, Some(Flood::Priority)));
    assert_eq!(flood(&frame(9, 0, b"x")), (16, Some(Flood::Continuations)));
    assert_eq!(flood(&frame(9, 0, b"")), (16, Some(Flood::Continuations)));
}

#[test]
fn frames_of_honest_traffic_are_not_counted() {
    for bytes in [
        frame(0, 0, b"x"),
        frame(0, 1, b""),
        frame(1, 4, &[0; 300]),
        frame(4, 1, b""),
        frame(6, 1, &[0; 8]),
        frame(8, 0, &[0; 4]),
    ] {
        assert_eq!(flood(&bytes), (1000, None), "{bytes:?}");
    }
}

#[test]
fn head_of_many_bytes_is_refused_over_all_its_frames() {
    let head = |continuations: usize, bytes: usize| {
        let mut all = frame(1, 0, &vec![0; bytes]);
        for _ in 0..continuations {
            all.extend(frame(9, 0, &vec![0; bytes]));
        }
        guard().see(&all, MS)
    };
    assert_eq!(head(3, 16 << 10), Ok(()));
    assert_eq!(head(4, 16 << 10), Err(Flood::HeadBytes));
    assert_eq!(head(16, 3000), Ok(()));
    assert_eq!(head(17, 10), Err(Flood::Continuations));
    let mut guard = guard();
    for _ in 0..100 {
        guard.see(&frame(1, 0, &[0; 1000]), MS).unwrap();
        guard.see(&frame(9, 4, &[0; 1000]).repeat(16), MS).unwrap();
    }
}

#[test]
fn cancels_at_fifty_a_second_pass_for_ever() {
    let mut guard = guard();
    for number in 0..10_000u32 {
        assert_eq!(guard.see(&reset(8), 20 * MS * number), Ok(()), "{number}");
    }
    let mut guard = self::guard();
    let ended = (0..10_000u32).find(|number| guard.see(&reset(8), 10 * MS * *number).is_err());
    // 100 a second use up the burst, 50 a second net, in two seconds.
    assert!((190..=210).contains(&ended.unwrap()), "{ended:?}");
}

#[test]
fn resets_sent_count_when_the_peer_provoked_them() {
    for (code, counted) in [
        (0, false),
        (1, true),
        (2, false),
        (3, true),
        (5, true),
        (7, true),
        (8, false),
    ] {
        let mut guard = guard();
        let ended = (0..1000).find(|_| guard.see_sent(&reset(code), MS).is_err());
        assert_eq!(ended, counted.then_some(100), "code {code}");
    }
    let mut both = guard();
    both.see(&reset(8).repeat(60), MS).unwrap();
    both.see_sent(&reset(1).repeat(40), MS).unwrap();
    assert_eq!(both.see(&reset(8), MS), Err(Flood::Resets));
}

#[test]
fn pings_are_free_while_data_is_sent() {
    let mut guard = guard();
    let ping = frame(6, 0, &[0; 8]);
    for _ in 0..1000 {
        guard.see_sent(&frame(0, 0, b"data"), MS).unwrap();
        guard.see(&ping, MS).unwrap();
    }
    assert_eq!(guard.see(&ping.repeat(101), MS), Err(Flood::Pings));
}

#[test]
fn frames_in_any_pieces_are_counted_the_same() {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(0, 0, &[7; 40]));
    bytes.extend(reset(8).repeat(100));
    bytes.extend(frame(1, 0, &[3; 20]));
    let whole = bytes.len();
    bytes.extend(reset(8));
    for size in 1..=40 {
        let mut guard = Guard::new(&FloodLimits::of_client());
        let mut seen = 0;
        let ended = bytes.chunks(size).find_map(|piece| {
            seen += piece.len();
            guard.see(piece, MS).err()
        });
        assert_eq!(ended, Some(Flood::Resets));
        assert!(seen > whole, "{seen}");
    }
}

#[test]
fn endpoint_may_reset_at_will_and_sends_no_preface() {
    let mut guard = Guard::new(&FloodLimits::of_endpoint());
    guard
        .see_sent(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MS)
        .unwrap();
    guard.see(&reset(2).repeat(1000), MS).unwrap();
    guard.see_sent(&reset(1).repeat(1000), MS).unwrap();
    assert_eq!(
        guard.see(&frame(4, 0, &[]).repeat(51), MS),
        Err(Flood::Settings)
    );
}

#[test]
fn bucket_gives_back_no_more_than_it_holds() {
    let mut bucket = super::Bucket::default();
    let rate = Rate {
        burst: 3,
        per_10s: 10,
    };
    let mut at = |ms: u32| bucket.take(rate, MS * ms);
    assert!(at(0) && at(0) && at(0) && !at(0));
    assert!(!at(999));
    assert!(at(1000) && !at(1000));
    assert!(!at(1999) && at(2100) && !at(2999) && at(3000));
    assert!(at(100_000) && at(100_000) && at(100_000) && !at(100_000));
    // A clock that goes back gives nothing.
    assert!(!at(50_000));
}
