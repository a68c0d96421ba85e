use super::*;
use crate::Framing;
use crate::http2::Failure;

#[test]
fn call_with_bodies_and_trailers_goes_both_ways() {
    let mut pair = Pair::new();
    let mut head = get("/pkg.Service/Call");
    head.set_method("POST");
    head.framing = Framing::Chunked;
    head.fields.append("TE", b"trailers");
    head.fields.append("X-Own", b"Value");
    for round in 0..3 {
        let asking = pair.client.open(&head, false);
        assert_eq!(pair.client.it.send(asking, b"question", true), Ok(8));
        pair.carry();
        let (asked, heard) = pair.server.accept();
        assert_eq!((heard.method(), heard.path()), ("POST", head.path()));
        assert_eq!(heard.fields.get("x-own"), Some(b"Value".as_slice()));
        assert_eq!(pair.server.it.next_woken(), Some(asked));
        assert_eq!(pair.server.body(asked), b"question");
        assert!(pair.server.it.is_read(asked));
        let mut answer = ResponseHead::new(200);
        answer.fields.append("content-type", b"application/grpc");
        pair.server.it.respond(asked, &answer, false).unwrap();
        assert_eq!(pair.server.it.send(asked, b"answer", false), Ok(6));
        let status = trailers(&[("grpc-status", "0")]);
        pair.server.it.finish(asked, Some(&status)).unwrap();
        pair.server.close(asked);
        // Head, body and trailers, and nothing else.
        assert!(pair.server.it.output().len() < [120, 70, 40][round]);
        pair.carry();
        assert_eq!(pair.client.it.next_woken(), Some(asking));
        assert_eq!(pair.client.it.next_woken(), None);
        let reply = pair.client.reply(asking);
        assert_eq!(reply.fields, answer.fields);
        let mut piece = Vec::new();
        let body = pair.client.it.take_body(asking, &mut piece);
        assert_eq!(body, Ok(Body::Data { last: false }));
        let body = pair.client.it.take_body(asking, &mut Vec::new());
        assert_eq!(
            (piece.as_slice(), body),
            (b"answer".as_slice(), Ok(Body::End))
        );
        assert_eq!(pair.client.it.take_trailers(asking), Some(status));
        pair.client.close(asking);
        assert_eq!(pair.client.it.held_streams(), 0);
        assert_eq!(pair.server.it.held_streams(), 0);
        pair.carry();
    }
}

#[test]
fn head_of_60_kb_goes_in_parts() {
    let mut pair = Pair::new();
    let mut head = get("/");
    for number in 0..20 {
        head.fields
            .append(format!("x-{number}").as_str(), &[b'v'; 3000]);
    }
    pair.client.open(&head, true);
    let kinds = |side: &Side| {
        let head = Head::read(side.it.output()).unwrap();
        (head.kind, head.length, head.has(flag::END_HEADERS))
    };
    assert_eq!(kinds(&pair.client), (kind::HEADERS, 16_384, false));
    pair.carry();
    assert_eq!(pair.server.accept().1.fields, head.fields);
}

#[test]
fn streams_beyond_the_limit_wait_or_are_refused() {
    let mut pair = Pair::new();
    for _ in 0..3 {
        pair.client.open(&get("/"), true);
    }
    assert_eq!(pair.client.it.open(&get("/"), true), Ok(None));
    pair.carry();
    // A client that does not wait.
    let fourth = headers(7, true, &GET);
    pair.server.hear(&fourth);
    assert_eq!(
        pair.server.ends(),
        [(kind::RST_STREAM, 7, Reason::REFUSED_STREAM)]
    );
    pair.client.it.take_freed();
    pair.client.close(0);
    assert!(pair.client.it.take_freed());
    assert!(matches!(pair.client.it.open(&get("/"), true), Ok(Some(_))));
}

#[test]
fn streams_that_are_served_after_their_end_are_bounded() {
    let mut server = Side::greeted(Role::Server);
    for id in (1..100).step_by(2) {
        server.hear(&headers(id, true, &GET));
        server.hear(&frame(kind::RST_STREAM, 0, id, &8_u32.to_be_bytes()));
    }
    assert!(
        server.it.held_streams() <= 7,
        "{}",
        server.it.held_streams()
    );
}

#[test]
fn answer_that_is_whole_counts_although_a_reset_follows() {
    let mut pair = Pair::new();
    let asking = pair.client.open(&get("/upload"), false);
    pair.carry();
    let (asked, _) = pair.server.accept();
    let mut head = ResponseHead::new(413);
    head.framing = Framing::Length(2);
    pair.server.it.respond(asked, &head, false).unwrap();
    pair.server.it.send(asked, b"no", true).unwrap();
    pair.server.close(asked);
    pair.carry();
    let lost = pair.client.it.send(asking, b"more", false);
    assert_eq!(lost, Err(Failure::Reset(Reason::NO_ERROR)));
    assert_eq!(pair.client.reply(asking).status(), 413);
    assert_eq!(pair.client.body(asking), b"no");
    let end = pair.client.it.take_body(asking, &mut Vec::new());
    assert_eq!(end, Ok(Body::End));
    pair.client.close(asking);
    assert!(pair.client.it.output().is_empty());
}

#[test]
fn reset_in_a_body_breaks_it_off_behind_what_came() {
    let mut pair = Pair::new();
    let asking = pair.client.open(&get("/"), true);
    pair.carry();
    let (asked, _) = pair.server.accept();
    let head = ResponseHead::new(200);
    pair.server.it.respond(asked, &head, false).unwrap();
    pair.server.it.send(asked, b"half", false).unwrap();
    pair.server.it.reset(asked, Reason::INTERNAL_ERROR);
    pair.carry();
    pair.client.reply(asking);
    assert_eq!(pair.client.body(asking), b"half");
    let end = pair.client.it.take_body(asking, &mut Vec::new());
    assert_eq!(end, Err(Failure::Reset(Reason::INTERNAL_ERROR)));
    // The other way about: the client leaves.
    let asking = pair.client.open(&get("/"), true);
    pair.carry();
    let (asked, _) = pair.server.accept();
    assert!(!pair.server.it.is_unwanted(asked));
    pair.client.close(asking);
    pair.carry();
    assert_eq!(pair.server.it.next_woken(), Some(asked));
    assert!(pair.server.it.is_unwanted(asked));
    let gone = pair.server.it.respond(asked, &head, true);
    assert_eq!(gone, Err(Failure::Reset(Reason::CANCEL)));
}

#[test]
fn server_that_shuts_down_answers_what_came_and_ends() {
    let mut pair = Pair::new();
    let early = pair.client.open(&get("/early"), true);
    pair.carry();
    let (asked, _) = pair.server.accept();
    pair.server.it.shut_down();
    // This one is on its way when the word comes.
    pair.client.open(&get("/late"), true);
    let late = pair.client.it.output().to_vec();
    pair.client.it.wrote(late.len());
    let told = pair.server.it.output().to_vec();
    pair.server.it.wrote(told.len());
    pair.server.hear(&late);
    pair.client.hear(&told);
    assert!(!pair.client.it.is_usable());
    assert_eq!(pair.client.it.open(&get("/"), true), Err(Failure::Refused));
    pair.carry();
    let (second, heard) = pair.server.accept();
    assert_eq!(heard.path(), "/late");
    // It heard the last number: who comes now is passed over.
    pair.server.hear(&headers(5, false, &GET));
    pair.server.hear(&frame(kind::DATA, 0, 5, b"x"));
    assert!(!pair.server.it.has_accepted());
    for key in [asked, second] {
        pair.server.it.end_if_done();
        assert_eq!(pair.server.it.end(), None);
        let head = ResponseHead::new(204);
        pair.server.it.respond(key, &head, true).unwrap();
    }
    pair.carry();
    pair.server.it.end_if_done();
    assert_eq!(pair.server.it.end(), Some(End::Done));
    assert_eq!(pair.client.reply(early).status(), 204);
    pair.client.it.end_if_done();
    assert_eq!(pair.client.it.end(), Some(End::Done));
}

#[test]
fn goaway_refuses_what_was_not_looked_at() {
    let mut client = Side::greeted(Role::Client);
    let first = client.open(&get("/"), true);
    let second = client.open(&get("/"), true);
    let payload = [1_u32.to_be_bytes(), 2_u32.to_be_bytes()].concat();
    client.hear(&frame(kind::GOAWAY, 0, 0, &payload));
    let mut head = ResponseHead::new(200);
    let lost = client.it.reply(second, &mut head, &mut client.memory);
    assert_eq!(lost, Err(Failure::Refused));
    let waiting = client.it.reply(first, &mut head, &mut client.memory);
    assert_eq!(waiting, Ok(false));
    client.hear(&headers(1, true, &[(":status", "200")]));
    assert_eq!(client.reply(first).status(), 200);
}

#[test]
fn end_of_the_socket_is_told_behind_what_came() {
    let mut pair = Pair::new();
    let asking = pair.client.open(&get("/"), true);
    pair.carry();
    let (asked, _) = pair.server.accept();
    let head = ResponseHead::new(200);
    pair.server.it.respond(asked, &head, false).unwrap();
    pair.server.it.send(asked, b"half", false).unwrap();
    pair.carry();
    pair.client.it.closed();
    pair.client.reply(asking);
    assert_eq!(pair.client.body(asking), b"half");
    let end = pair.client.it.take_body(asking, &mut Vec::new());
    assert_eq!(end, Err(Failure::Ended(End::Closed)));
    pair.client.close(asking);
    assert!(pair.client.it.output().is_empty());
}
