use super::*;

const OPEN: u32 = 1;

/// What a server does about frames, after a request with a body began on stream 1.
fn judged(frames: &[Vec<u8>]) -> Vec<(u8, u32, Reason)> {
    let mut server = Side::greeted(Role::Server);
    server.hear(&headers(OPEN, false, &GET));
    server.hear(&frames.concat());
    server.ends()
}

fn connection(reason: Reason) -> Vec<(u8, u32, Reason)> {
    vec![(kind::GOAWAY, 0, reason)]
}

fn stream(id: u32, reason: Reason) -> Vec<(u8, u32, Reason)> {
    vec![(kind::RST_STREAM, id, reason)]
}

const END: u8 = flag::END_STREAM;

#[test]
fn frames_that_break_the_connection_end_it() {
    let protocol = Reason::PROTOCOL_ERROR;
    let size = Reason::FRAME_SIZE_ERROR;
    for (frames, reason) in [
        (vec![frame(kind::DATA, 0, 0, b"x")], protocol),
        (vec![frame(kind::DATA, 0, 3, b"x")], protocol),
        (vec![frame(kind::DATA, 0, 2, b"x")], protocol),
        (vec![frame(kind::DATA, flag::PADDED, 1, b"\x02x")], protocol),
        (vec![frame(kind::DATA, flag::PADDED, 1, b"")], protocol),
        (vec![frame(kind::HEADERS, 4, 0, b"")], protocol),
        (vec![headers(2, true, &GET)], protocol),
        (vec![frame(kind::HEADERS, 4 | 0x20, 3, b"1234")], size),
        (
            vec![frame(kind::HEADERS, 4, 3, b"\x80")],
            Reason::COMPRESSION_ERROR,
        ),
        (vec![frame(kind::CONTINUATION, 4, 1, b"")], protocol),
        (
            vec![
                frame(kind::HEADERS, 0, 3, b""),
                frame(kind::CONTINUATION, 4, 5, b""),
            ],
            protocol,
        ),
        (
            vec![
                frame(kind::HEADERS, 0, 3, b""),
                frame(kind::PING, 0, 0, &[0; 8]),
            ],
            protocol,
        ),
        (vec![frame(kind::PRIORITY, 0, 0, &[0; 5])], protocol),
        (vec![frame(kind::PRIORITY, 0, 1, &[0; 4])], size),
        (vec![frame(kind::RST_STREAM, 0, 0, &[0; 4])], protocol),
        (vec![frame(kind::RST_STREAM, 0, 3, &[0; 4])], protocol),
        (vec![frame(kind::RST_STREAM, 0, 1, &[0; 3])], size),
        (vec![frame(kind::DATA, 0, 1, &[0; 16_385])], size),
    ] {
        let judged = judged(&frames);
        assert_eq!(judged, connection(reason), "{:?}", Head::read(&frames[0]));
    }
}

#[test]
fn control_frames_that_break_the_connection_end_it() {
    let protocol = Reason::PROTOCOL_ERROR;
    let size = Reason::FRAME_SIZE_ERROR;
    let setting = |name: u8, value: u32| {
        let payload = [&[0, name], value.to_be_bytes().as_slice()].concat();
        frame(kind::SETTINGS, 0, 0, &payload)
    };
    for (frames, reason) in [
        (vec![frame(kind::SETTINGS, 0, 1, &[])], protocol),
        (vec![frame(kind::SETTINGS, 0, 0, &[0; 5])], size),
        (vec![frame(kind::SETTINGS, flag::ACK, 0, &[0; 6])], size),
        (vec![setting(2, 2)], protocol),
        (vec![setting(4, 1 << 31)], Reason::FLOW_CONTROL_ERROR),
        (vec![setting(5, 16_383)], protocol),
        (vec![setting(5, 1 << 24)], protocol),
        (vec![frame(kind::PUSH_PROMISE, 4, 1, &[0; 4])], protocol),
        (vec![frame(kind::PING, 0, 1, &[0; 8])], protocol),
        (vec![frame(kind::PING, 0, 0, &[0; 7])], size),
        (vec![frame(kind::GOAWAY, 0, 1, &[0; 8])], protocol),
        (vec![frame(kind::GOAWAY, 0, 0, &[0; 7])], size),
        (vec![frame(kind::WINDOW_UPDATE, 0, 0, &[0; 4])], protocol),
        (
            vec![frame(kind::WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1])],
            protocol,
        ),
        (vec![frame(kind::WINDOW_UPDATE, 0, 1, &[0; 3])], size),
        (
            vec![frame(kind::WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255])],
            Reason::FLOW_CONTROL_ERROR,
        ),
    ] {
        let judged = judged(&frames);
        assert_eq!(judged, connection(reason), "{:?}", Head::read(&frames[0]));
    }
}

#[test]
fn frames_that_break_a_stream_end_it_alone() {
    let overflow = frame(kind::WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255]);
    for (frames, expected) in [
        (
            vec![frame(kind::WINDOW_UPDATE, 0, 1, &[0; 4])],
            stream(1, Reason::PROTOCOL_ERROR),
        ),
        (vec![overflow], stream(1, Reason::FLOW_CONTROL_ERROR)),
        (
            vec![
                frame(kind::DATA, END, 1, b""),
                frame(kind::DATA, 0, 1, b"x"),
            ],
            stream(1, Reason::STREAM_CLOSED),
        ),
        (
            vec![headers(1, false, &[])],
            stream(1, Reason::PROTOCOL_ERROR),
        ),
        (
            vec![
                frame(kind::RST_STREAM, 0, 1, &[0; 4]),
                frame(kind::DATA, 0, 1, b"x"),
            ],
            stream(1, Reason::STREAM_CLOSED),
        ),
    ] {
        assert_eq!(judged(&frames), expected, "{frames:?}");
    }
}

#[test]
fn frames_without_meaning_are_passed_over() {
    for frames in [
        vec![frame(0xfa, 0xff, 7, b"anything")],
        vec![frame(kind::PRIORITY, 0, 9, &[0; 5])],
        vec![frame(kind::SETTINGS, 0, 0, &[0x77, 7, 0, 0, 0, 1])],
        vec![
            frame(kind::RST_STREAM, 0, 1, &[0; 4]),
            frame(kind::RST_STREAM, 0, 1, &[0; 4]),
        ],
        vec![
            frame(kind::RST_STREAM, 0, 1, &[0; 4]),
            frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        ],
        vec![frame(kind::PING, flag::ACK, 0, &[0; 8])],
    ] {
        assert_eq!(judged(&frames), [], "{frames:?}");
    }
}

#[test]
fn stream_that_we_reset_hears_nothing_more() {
    let mut server = Side::greeted(Role::Server);
    server.hear(&headers(1, false, &GET));
    let (key, _) = server.accept();
    server.close(key);
    assert_eq!(server.ends(), stream(1, Reason::CANCEL));
    server.hear(&frame(kind::DATA, 0, 1, b"late"));
    server.hear(&headers(1, true, &[("x", "late")]));
    assert_eq!(server.ends(), []);
    assert_eq!(server.it.held_streams(), 0);
}

#[test]
fn first_words_of_another_protocol_end_it() {
    for first in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
    ] {
        let mut server = Side::new(&config(Role::Server));
        server.hear(first);
        assert_eq!(server.ends(), connection(Reason::PROTOCOL_ERROR));
    }
    let mut server = Side::new(&config(Role::Server));
    server.hear(PREFACE);
    server.hear(&frame(kind::PING, 0, 0, &[0; 8]));
    assert_eq!(server.ends(), connection(Reason::PROTOCOL_ERROR));
}

#[test]
fn client_refuses_what_it_did_not_ask_for() {
    for (frames, reason) in [
        (
            headers(2, true, &[(":status", "200")]),
            Reason::PROTOCOL_ERROR,
        ),
        (
            headers(3, true, &[(":status", "200")]),
            Reason::PROTOCOL_ERROR,
        ),
        (
            frame(kind::SETTINGS, 0, 0, &[0, 2, 0, 0, 0, 1]),
            Reason::PROTOCOL_ERROR,
        ),
        (
            frame(kind::PUSH_PROMISE, 4, 1, &[0; 4]),
            Reason::PROTOCOL_ERROR,
        ),
    ] {
        let mut client = Side::greeted(Role::Client);
        client.open(&get("/"), true);
        client.hear(&frames);
        assert_eq!(client.ends(), connection(reason));
    }
    let mut client = Side::greeted(Role::Client);
    client.open(&get("/"), true);
    client.hear(&frame(kind::DATA, 0, 1, b"no head before it"));
    assert_eq!(client.ends(), stream(1, Reason::PROTOCOL_ERROR));
}

#[test]
fn flood_ends_the_connection_with_a_word() {
    let mut server = Side::greeted(Role::Server);
    server.hear(&frame(kind::PING, 0, 0, &[0; 8]).repeat(101));
    assert!(matches!(server.it.end(), Some(End::Flood(_))));
    assert_eq!(server.ends(), connection(Reason::ENHANCE_YOUR_CALM));
    // Resets that the peer provokes count as its own.
    let mut server = Side::greeted(Role::Server);
    let bad = headers(1, true, &[(":method", "GET")]);
    let mut resets = 0;
    for id in (1..1000).step_by(2) {
        let mut bad = bad.clone();
        bad[5..9].copy_from_slice(&u32::to_be_bytes(id));
        server.hear(&bad);
        if server.it.end().is_some() {
            break;
        }
        resets += 1;
    }
    assert_eq!(resets, 100);
}

#[test]
fn output_that_nobody_takes_stops_the_reading() {
    let mut server = Side::greeted(Role::Server);
    let ping = frame(kind::PING, 0, 0, &[0; 8]);
    let settings = frame(kind::SETTINGS, flag::ACK, 0, &[]);
    for _ in 0..40 {
        server.hear(&ping);
        server.hear(&settings);
    }
    assert!(server.it.wants_input());
    assert_eq!(server.it.output().len(), 40 * 17);
}
