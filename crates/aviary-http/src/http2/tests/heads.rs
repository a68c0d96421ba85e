use super::*;
use crate::http2::Failure;
use crate::{Error, Framing, Scheme, Version};

/// What a server makes of a request.
fn read(fields: &[(&str, &str)], end: bool) -> Result<Box<RequestHead>, Option<Error>> {
    let mut server = Side::greeted(Role::Server);
    server.hear(&headers(1, end, fields));
    if let Some(accepted) = server.it.accept() {
        return accepted.head.map_err(Some);
    }
    let expected = (kind::RST_STREAM, 1, Reason::PROTOCOL_ERROR);
    assert_eq!(server.ends(), [expected]);
    Err(None)
}

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&GET[..], more].concat()
}

#[test]
fn request_of_http2_is_one_of_http1() {
    let fields = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "reviews:9080"),
        (":path", "/a?b=c#d"),
        ("x-one", " 1 "),
        ("cookie", "a=1"),
        ("te", "trailers"),
        ("cookie", "b=2"),
        ("expect", "100-continue"),
    ];
    let head = read(&fields, false).unwrap();
    assert_eq!(
        (head.version(), head.scheme()),
        (Version::Http2, Scheme::Https)
    );
    assert_eq!(head.framing, Framing::Chunked);
    assert!(head.connection.te_trailers && head.connection.expect_continue);
    let mut out = Vec::new();
    head.write_http1(&mut out, head.framing, false);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "POST /a?b=c HTTP/1.1\r\nhost: reviews:9080\r\nx-one: 1\r\nte: trailers\r\ncookie: a=1; b=2\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
}

#[test]
fn request_that_is_no_message_is_reset() {
    for more in [
        ("connection", "close"),
        ("keep-alive", "1"),
        ("proxy-connection", "x"),
        ("upgrade", "websocket"),
        ("http2-settings", "x"),
        ("te", "gzip"),
        ("te", "trailers, gzip"),
        ("transfer-encoding", "chunked"),
        ("content-length", "+5"),
        ("content-length", ""),
        ("content-length", "5"),
        ("host", "other"),
        ("x", "a\r\nb"),
        ("x", "\0"),
        (":path", "/"),
        (":status", "200"),
        (":protocol", "websocket"),
    ] {
        assert_eq!(read(&with(&[more]), true).err(), Some(None), "{more:?}");
    }
    for twice in [("content-length", "0"), ("host", "a")] {
        assert_eq!(read(&with(&[twice, twice]), true).err(), Some(None));
    }
    for (name, value) in [
        (":method", ""),
        (":method", "G T"),
        (":scheme", ""),
        (":scheme", "h p"),
        (":authority", ""),
        (":authority", "u@a"),
        (":path", ""),
        (":path", "x"),
        (":path", "*"),
        (":path", "/ "),
        (":path", "http://a/"),
    ] {
        let fields = GET.map(|(other, it)| (other, if other == name { value } else { it }));
        assert_eq!(read(&fields, true).err(), Some(None), "{name} {value:?}");
    }
    for missing in 0..4 {
        let mut fields = GET.to_vec();
        fields.remove(missing);
        assert_eq!(read(&fields, true).err(), Some(None), "{missing}");
    }
}

#[test]
fn request_with_odd_but_good_parts_is_read() {
    let connect = [(":method", "CONNECT"), (":authority", "a:443")];
    let head = read(&connect, false).unwrap();
    assert_eq!((head.authority(), head.path()), ("a:443", ""));
    let mut options = GET;
    (options[0].1, options[3].1) = ("OPTIONS", "*");
    assert_eq!(read(&options, true).unwrap().path(), "*");
    let host = [GET[0], GET[1], GET[3], ("host", "b")];
    assert_eq!(read(&host, true).unwrap().authority(), "b");
    let both = with(&[("host", "A")]);
    assert_eq!(read(&both, true).unwrap().authority(), "a");
    let empty = with(&[("content-length", "0")]);
    assert_eq!(read(&empty, true).unwrap().framing, Framing::Length(0));
}

#[test]
fn request_over_a_limit_is_to_be_answered() {
    let crumbs = with(&vec![("cookie", "a=b"); 1500]);
    assert_eq!(read(&crumbs, true).unwrap().fields.len(), 1);
    let crumbs = with(&vec![("cookie", "a=b"); 1600]);
    assert_eq!(read(&crumbs, true).err(), Some(Some(Error::HeadTooLarge)));
    let many = with(&vec![("x-a", "b"); 129]);
    assert_eq!(read(&many, true).err(), Some(Some(Error::TooManyFields)));
    let long = format!("/{}", "p".repeat(16 << 10));
    let fields = [GET[0], GET[1], GET[2], (":path", long.as_str())];
    // In one frame it is too long already.
    let mut server = Side::greeted(Role::Server);
    let block = block(&fields);
    let (first, rest) = block.split_at(9000);
    server.hear(&frame(kind::HEADERS, flag::END_STREAM, 1, first));
    server.hear(&frame(kind::CONTINUATION, flag::END_HEADERS, 1, rest));
    let head = server.it.accept().unwrap().head;
    assert_eq!(head.err(), Some(Error::TargetTooLong));
}

/// What a client makes of a reply to a request.
fn reply(method: &str, fields: &[(&str, &str)], end: bool) -> Result<ResponseHead, Failure> {
    let mut client = Side::greeted(Role::Client);
    let mut head = get("/");
    head.set_method(method);
    let key = client.open(&head, true);
    client.hear(&headers(1, end, fields));
    let mut head = ResponseHead::new(200);
    let came = client.it.reply(key, &mut head, &mut client.memory);
    came.map(|came| {
        assert!(came);
        head
    })
}

#[test]
fn reply_is_framed_by_request_status_and_length() {
    let length = ("content-length", "5");
    for (method, status, fields, end, framing, left) in [
        ("GET", "200", vec![length], false, Framing::Length(5), 0),
        ("GET", "200", vec![], false, Framing::Chunked, 0),
        ("GET", "200", vec![], true, Framing::None, 0),
        ("HEAD", "200", vec![length], true, Framing::None, 1),
        ("GET", "304", vec![length], true, Framing::None, 1),
        ("GET", "204", vec![], true, Framing::None, 0),
        ("GET", "999", vec![], true, Framing::None, 0),
    ] {
        let fields = [vec![(":status", status)], fields].concat();
        let head = reply(method, &fields, end).unwrap();
        assert_eq!(head.status().to_string(), status);
        assert_eq!((head.framing, head.fields.len()), (framing, left));
    }
}

#[test]
fn reply_that_is_no_message_is_refused() {
    let ok = (":status", "200");
    for fields in [
        vec![],
        vec![("x", "y")],
        vec![("x", "y"), ok],
        vec![ok, ok],
        vec![(":status", "2000")],
        vec![(":status", "099")],
        vec![(":status", "2 0")],
        vec![(":status", "101")],
        vec![ok, (":path", "/")],
        vec![ok, ("connection", "close")],
        vec![ok, ("transfer-encoding", "chunked")],
        vec![ok, ("content-length", "x")],
        vec![ok, ("content-length", "5")],
        vec![ok, ("x", "a\nb")],
    ] {
        let refused = reply("GET", &fields, true);
        assert!(
            matches!(refused, Err(Failure::Malformed(_))),
            "{fields:?}: {refused:?}"
        );
    }
    assert!(matches!(
        reply("GET", &[(":status", "100")], true),
        Err(Failure::Malformed(_))
    ));
}

#[test]
fn interim_replies_are_passed_over_up_to_a_limit() {
    for (count, expected) in [(32, Ok(true)), (33, Err(Failure::Interim))] {
        let mut client = Side::greeted(Role::Client);
        let key = client.open(&get("/"), true);
        for _ in 0..count {
            client.hear(&headers(1, false, &[(":status", "103"), ("link", "x")]));
        }
        client.hear(&headers(1, true, &[(":status", "404")]));
        let mut head = ResponseHead::new(200);
        let came = client.it.reply(key, &mut head, &mut client.memory);
        assert_eq!(came, expected, "{count}");
    }
}

#[test]
fn trailers_that_may_not_stand_there_are_left_out_or_refused() {
    for (fields, expected) in [
        (vec![("grpc-status", "0"), ("te", "trailers")], Some(1)),
        (vec![("content-length", "5")], Some(0)),
        (vec![(":path", "/x")], None),
        (vec![("X", "y")], None),
        (vec![("x", "\0")], None),
    ] {
        let mut server = Side::greeted(Role::Server);
        server.hear(&headers(1, false, &GET));
        let raw: Vec<u8> = fields
            .iter()
            .flat_map(|(name, value)| {
                let length = |text: &str| u8::try_from(text.len()).unwrap();
                let name = [&[0, length(name)], name.as_bytes()].concat();
                [name, vec![length(value)], value.as_bytes().to_vec()].concat()
            })
            .collect();
        let flags = flag::END_STREAM | flag::END_HEADERS;
        server.hear(&frame(kind::HEADERS, flags, 1, &raw));
        let (key, _) = server.accept();
        let end = server.it.take_body(key, &mut Vec::new());
        match expected {
            Some(count) => {
                assert_eq!(end, Ok(Body::End));
                let trailers = server.it.take_trailers(key);
                assert_eq!(trailers.map_or(0, |it| it.len()), count);
            }
            None => assert_eq!(end, Err(Failure::Reset(Reason::PROTOCOL_ERROR))),
        }
    }
}
