use super::*;
use crate::http2::Failure;

/// Moves a body from one side to the other, and gives what came.
fn move_body(pair: &mut Pair, up: bool, keys: (usize, usize), data: &[u8]) -> Vec<u8> {
    let mut sent = 0;
    let mut came = Vec::new();
    while came.len() < data.len() {
        let (from, to) = if up {
            (&mut pair.client, &mut pair.server)
        } else {
            (&mut pair.server, &mut pair.client)
        };
        let before = sent;
        while sent < data.len() {
            let count = from.it.send(keys.0, &data[sent..], true).unwrap();
            if count == 0 {
                break;
            }
            sent += count;
        }
        came.extend(to.body(keys.1));
        let moved = sent > before || !from.it.output().is_empty() || !to.it.output().is_empty();
        pair.carry();
        let to = if up {
            &mut pair.server
        } else {
            &mut pair.client
        };
        let more = to.body(keys.1);
        assert!(moved || !more.is_empty(), "stuck at {sent}");
        came.extend(more);
        pair.carry();
    }
    came
}

#[test]
fn bodies_of_1_mib_pass_both_ways_through_windows_of_any_size() {
    let data = bytes(1 << 20);
    for window in [1, 100, 65_535, 1 << 20] {
        let data = if window < 1000 { &data[..5000] } else { &data };
        let small = |role| Config {
            stream_window: window,
            ..config(role)
        };
        let mut pair = Pair::of(&small(Role::Client), &small(Role::Server));
        let asking = pair.client.open(&get("/"), false);
        pair.carry();
        let (asked, _) = pair.server.accept();
        assert_eq!(move_body(&mut pair, true, (asking, asked), data), data);
        let end = pair.server.it.take_body(asked, &mut Vec::new());
        assert_eq!(end, Ok(Body::End));
        let head = ResponseHead::new(200);
        pair.server.it.respond(asked, &head, false).unwrap();
        pair.carry();
        pair.client.reply(asking);
        assert_eq!(move_body(&mut pair, false, (asked, asking), data), data);
        let end = pair.client.it.take_body(asking, &mut Vec::new());
        assert_eq!(end, Ok(Body::End));
        assert_eq!(pair.client.it.open_streams(), 0);
        assert_eq!(pair.server.it.open_streams(), 0);
    }
}

#[test]
fn data_beyond_a_window_ends_the_stream_or_the_connection() {
    let data = frame(kind::DATA, 0, 1, &[0; 16_384]);
    let mut server = Side::greeted(Role::Server);
    server.hear(&headers(1, false, &GET));
    server.hear(&data.repeat(4));
    assert_eq!(server.ends(), []);
    server.hear(&frame(kind::DATA, 0, 1, b"x"));
    assert_eq!(
        server.ends(),
        [(kind::RST_STREAM, 1, Reason::FLOW_CONTROL_ERROR)]
    );

    let small = Config {
        connection_window: 65_535,
        ..config(Role::Server)
    };
    let mut server = Side::new(&small);
    server.hear(PREFACE);
    server.hear(&frame(kind::SETTINGS, 0, 0, &[]));
    server.hear(&headers(1, false, &GET));
    server.hear(&headers(3, false, &GET));
    let half = frame(kind::DATA, 0, 3, &[0; 16_384]);
    server.hear(&[data.repeat(2), half.clone()].concat());
    assert_eq!(server.ends(), []);
    server.hear(&half);
    assert_eq!(
        server.ends(),
        [(kind::GOAWAY, 0, Reason::FLOW_CONTROL_ERROR)]
    );
}

/// Before the peer knows of our smaller window it may fill the default one.
#[test]
fn window_below_the_default_counts_once_the_peer_knows_it() {
    let small = Config {
        stream_window: 10,
        ..config(Role::Server)
    };
    for (known, ends) in [(false, 0), (true, 1)] {
        let mut server = Side::new(&small);
        server.hear(PREFACE);
        server.hear(&frame(kind::SETTINGS, 0, 0, &[]));
        if known {
            server.hear(&frame(kind::SETTINGS, flag::ACK, 0, &[]));
        }
        server.hear(&headers(1, false, &GET));
        server.hear(&frame(kind::DATA, 0, 1, &[0; 11]));
        assert_eq!(server.ends().len(), ends, "{known}");
    }
}

#[test]
fn padding_and_data_for_nobody_are_given_back() {
    let mut server = Side::greeted(Role::Server);
    server.hear(&headers(1, false, &GET));
    let (key, _) = server.accept();
    let padded = frame(
        kind::DATA,
        flag::PADDED,
        1,
        &[&[255], [0; 300].as_slice()].concat(),
    );
    for _ in 0..10_000 {
        server.hear(&padded);
        assert_eq!(server.body(key).len(), 45);
    }
    server.close(key);
    let late = frame(kind::DATA, 0, 1, &[0; 10_000]);
    for _ in 0..1000 {
        server.hear(&late);
    }
    assert_eq!(server.it.end(), None);
    let bytes = |id: u32, said: &[(Head, Vec<u8>)]| -> u32 {
        let updates = said.iter();
        let updates = updates.filter(|it| it.0.kind == kind::WINDOW_UPDATE && it.0.stream == id);
        let number = |payload: &[u8]| u32::from_be_bytes(*payload.first_chunk().unwrap());
        updates.map(|it| number(&it.1)).sum()
    };
    let said = server.said();
    let all = 10_000 * 301 + 1000 * 10_000;
    assert!(bytes(0, &said) > all - (1 << 20), "{}", bytes(0, &said));
    assert!(bytes(1, &said) > 10_000 * 301 - (1 << 16));
}

#[test]
fn window_made_smaller_by_the_peer_is_waited_for() {
    let mut server = Side::greeted(Role::Server);
    server.hear(&headers(1, true, &GET));
    let (key, _) = server.accept();
    let head = ResponseHead::new(200);
    server.it.respond(key, &head, false).unwrap();
    let data = bytes(65_535);
    let mut sent = 0;
    while sent < 60_000 {
        sent += server.it.send(key, &data[sent..60_000], false).unwrap();
    }
    let window = |size: u32| {
        let payload = [&[0, 4], size.to_be_bytes().as_slice()].concat();
        frame(kind::SETTINGS, 0, 0, &payload)
    };
    server.hear(&window(1000));
    assert_eq!(server.it.send(key, b"x", false), Ok(0));
    server.said();
    // 60,000 bytes went out: the window is 59,000 below zero.
    server.hear(&frame(kind::WINDOW_UPDATE, 0, 1, &59_000_u32.to_be_bytes()));
    assert_eq!(server.it.send(key, b"x", false), Ok(0));
    assert_eq!(server.it.next_woken(), None);
    server.hear(&window(1001));
    assert_eq!(server.it.next_woken(), Some(key));
    assert_eq!(server.it.send(key, b"xy", false), Ok(1));
    server.hear(&window(0x7fff_ffff));
    let more = frame(kind::WINDOW_UPDATE, 0, 1, &100_000_u32.to_be_bytes());
    server.hear(&more);
    assert_eq!(
        server.ends(),
        [(kind::RST_STREAM, 1, Reason::FLOW_CONTROL_ERROR)]
    );
}

#[test]
fn streams_take_turns_when_there_is_little_room() {
    let mut server = Side::greeted(Role::Server);
    let more = frame(kind::WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes());
    server.hear(&more);
    let mut keys = Vec::new();
    for id in [1, 3, 5] {
        server.hear(&headers(id, true, &GET));
        let more = (1_u32 << 30).to_be_bytes();
        server.hear(&frame(kind::WINDOW_UPDATE, 0, id, &more));
        let (key, _) = server.accept();
        let head = ResponseHead::new(200);
        server.it.respond(key, &head, false).unwrap();
        keys.push(key);
    }
    while server.it.next_woken().is_some() {}
    let data = bytes(1 << 16);
    let mut sent = [0; 3];
    let mut turns = 0;
    while sent.iter().sum::<usize>() < 3 << 20 {
        for (key, sent) in keys.iter().zip(&mut sent) {
            loop {
                let count = server.it.send(*key, &data, false).unwrap();
                *sent += count;
                if count == 0 {
                    break;
                }
            }
        }
        assert!(server.it.output().len() < 256 << 10);
        server.said();
        server.it.grant();
        turns += 1;
        assert!(turns < 1000, "{sent:?}");
    }
    let (most, least) = (sent.iter().max().unwrap(), sent.iter().min().unwrap());
    assert!(most - least <= 256 << 10, "{sent:?}");
}

#[test]
fn turn_that_nobody_takes_goes_to_the_next() {
    let mut server = Side::greeted(Role::Server);
    let mut keys = Vec::new();
    for id in [1, 3, 5] {
        server.hear(&headers(id, true, &GET));
        let (key, _) = server.accept();
        let head = ResponseHead::new(200);
        server.it.respond(key, &head, false).unwrap();
        keys.push(key);
    }
    let data = bytes(1 << 16);
    let mut sent = 0;
    while sent < 65_535 {
        sent += server.it.send(keys[0], &data[sent..65_535], false).unwrap();
    }
    // The connection's window is used up.
    assert_eq!(server.it.send(keys[1], &data, false), Ok(0));
    assert_eq!(server.it.send(keys[2], &data, false), Ok(0));
    server.said();
    assert!(!server.it.wants_turn());
    server.hear(&frame(kind::WINDOW_UPDATE, 0, 0, &[0, 0, 0, 10]));
    let woken: Vec<usize> = std::iter::from_fn(|| server.it.next_woken()).collect();
    assert_eq!(woken, [keys[1]]);
    server.close(keys[1]);
    assert!(server.it.wants_turn());
    server.said();
    server.it.grant();
    assert_eq!(server.it.next_woken(), Some(keys[2]));
    assert_eq!(server.it.send(keys[2], &data, false), Ok(10));
}

#[test]
fn body_of_another_length_than_told_is_cut_off() {
    let post = |length: &'static str| [&GET[..], &[("content-length", length)]].concat();
    for (length, frames) in [
        ("2", vec![frame(kind::DATA, 0, 1, b"hello")]),
        ("10", vec![frame(kind::DATA, flag::END_STREAM, 1, b"hello")]),
        ("0", vec![frame(kind::DATA, 0, 1, b"x")]),
        (
            "10",
            vec![
                frame(kind::DATA, 0, 1, b"hello"),
                headers(1, true, &[("x", "y")]),
            ],
        ),
    ] {
        let mut server = Side::greeted(Role::Server);
        server.hear(&headers(1, false, &post(length)));
        server.hear(&frames.concat());
        assert_eq!(
            server.ends(),
            [(kind::RST_STREAM, 1, Reason::PROTOCOL_ERROR)]
        );
        let (key, _) = server.accept();
        server.body(key);
        let end = server.it.take_body(key, &mut Vec::new());
        assert_eq!(end, Err(Failure::Reset(Reason::PROTOCOL_ERROR)));
    }
}
