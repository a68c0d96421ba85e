use std::time::Duration;

use super::{Flood, FloodLimits, Guard, Rate};
use crate::http2::Reason;
use crate::http2::frame::Head;

const MS: Duration = Duration::from_millis(1);

fn frame(kind: u8, flags: u8, length: u32) -> Head {
    Head {
        length,
        kind,
        flags,
        stream: 1,
    }
}

fn reset() -> Head {
    frame(3, 0, 4)
}

fn guard() -> Guard {
    Guard::new(&FloodLimits::of_client())
}

fn see_all(guard: &mut Guard, frames: impl IntoIterator<Item = Head>) -> Result<(), Flood> {
    frames
        .into_iter()
        .try_for_each(|frame| guard.see(frame, MS))
}

/// How many such frames sent at once pass, at most 1,000, and what ends it.
fn flood(frame: Head) -> (usize, Option<Flood>) {
    let mut guard = guard();
    for passed in 0..1000 {
        if let Err(flood) = guard.see(frame, 5 * MS) {
            return (passed, Some(flood));
        }
    }
    (1000, None)
}

#[test]
fn flood_of_each_kind_ends_at_its_limit() {
    assert_eq!(flood(reset()), (100, Some(Flood::Resets)));
    assert_eq!(flood(frame(6, 0, 8)), (100, Some(Flood::Pings)));
    assert_eq!(flood(frame(4, 0, 0)), (50, Some(Flood::Settings)));
    assert_eq!(flood(frame(0, 0, 0)), (100, Some(Flood::EmptyData)));
    assert_eq!(flood(frame(2, 0, 5)), (100, Some(Flood::Priority)));
    assert_eq!(flood(frame(0xfa, 0, 0)), (100, Some(Flood::Priority)));
    assert_eq!(flood(frame(9, 0, 1)), (16, Some(Flood::Continuations)));
    assert_eq!(flood(frame(9, 0, 0)), (16, Some(Flood::Continuations)));
}

#[test]
fn frames_of_honest_traffic_are_not_counted() {
    for frame in [
        frame(0, 0, 1),
        frame(0, 1, 0),
        frame(1, 4, 300),
        frame(4, 1, 0),
        frame(6, 1, 8),
        frame(8, 0, 4),
    ] {
        assert_eq!(flood(frame), (1000, None), "{frame:?}");
    }
}

#[test]
fn head_of_many_bytes_is_refused_over_all_its_frames() {
    let head = |continuations: usize, bytes: u32| {
        let more = std::iter::repeat_n(frame(9, 0, bytes), continuations);
        see_all(
            &mut guard(),
            std::iter::once(frame(1, 0, bytes)).chain(more),
        )
    };
    assert_eq!(head(3, 16 << 10), Ok(()));
    assert_eq!(head(4, 16 << 10), Err(Flood::HeadBytes));
    assert_eq!(head(16, 3000), Ok(()));
    assert_eq!(head(17, 10), Err(Flood::Continuations));
    let mut guard = guard();
    for _ in 0..100 {
        guard.see(frame(1, 0, 1000), MS).unwrap();
        see_all(&mut guard, [frame(9, 4, 1000); 16]).unwrap();
    }
}

#[test]
fn cancels_at_fifty_a_second_pass_for_ever() {
    let mut guard = guard();
    for number in 0..10_000u32 {
        assert_eq!(guard.see(reset(), 20 * MS * number), Ok(()), "{number}");
    }
    let mut guard = self::guard();
    let ended = (0..10_000u32).find(|number| guard.see(reset(), 10 * MS * *number).is_err());
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
        let ended = (0..1000).find(|_| guard.sent_reset(Reason(code), MS).is_err());
        assert_eq!(ended, counted.then_some(100), "code {code}");
    }
    let mut both = guard();
    see_all(&mut both, [reset(); 60]).unwrap();
    for _ in 0..40 {
        both.sent_reset(Reason::PROTOCOL_ERROR, MS).unwrap();
    }
    assert_eq!(both.see(reset(), MS), Err(Flood::Resets));
}

#[test]
fn pings_are_free_while_data_is_sent() {
    let mut guard = guard();
    let ping = frame(6, 0, 8);
    for _ in 0..1000 {
        guard.sent_message();
        guard.see(ping, MS).unwrap();
    }
    assert_eq!(see_all(&mut guard, [ping; 101]), Err(Flood::Pings));
}

#[test]
fn endpoint_may_reset_at_will() {
    let mut guard = Guard::new(&FloodLimits::of_endpoint());
    see_all(&mut guard, [reset(); 1000]).unwrap();
    for _ in 0..1000 {
        guard.sent_reset(Reason::PROTOCOL_ERROR, MS).unwrap();
    }
    assert_eq!(
        see_all(&mut guard, [frame(4, 0, 0); 51]),
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
