use super::*;

fn entry() -> Entry {
    let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_255_200_123);
    Entry {
        request: Some(RequestLine {
            method: "GET".into(),
            path: "/reviews/0?x=1".into(),
            protocol: "HTTP/1.1",
        }),
        code: 200,
        details: "via_upstream".into(),
        bytes_sent: 295,
        duration: Duration::from_micros(12_700),
        upstream_service_time: Some(Duration::from_millis(11)),
        headers: Headers {
            user_agent: "curl/8".into(),
            request_id: "id-1".into(),
            authority: "reviews:9080".into(),
            ..Headers::default()
        },
        upstream_host: Some("10.244.0.9:9080".parse().unwrap()),
        upstream_cluster: "outbound|9080|v1|reviews.prod.svc.cluster.local".into(),
        upstream_local: Some("10.244.0.7:40000".parse().unwrap()),
        downstream_local: Some("10.96.3.4:9080".parse().unwrap()),
        downstream_remote: Some("10.244.0.7:39999".parse().unwrap()),
        ..Entry::new(start)
    }
}

#[test]
fn text_full_entry_is_istios_line() {
    assert_eq!(
        entry().text(),
        "[2026-11-21T10:00:00.123Z] \"GET /reviews/0?x=1 HTTP/1.1\" 200 - via_upstream - \"-\" 0 295 12 11 \
         \"-\" \"curl/8\" \"id-1\" \"reviews:9080\" \"10.244.0.9:9080\" \
         outbound|9080|v1|reviews.prod.svc.cluster.local 10.244.0.7:40000 10.96.3.4:9080 \
         10.244.0.7:39999 - -\n"
    );
}

#[test]
fn text_tcp_entry_has_dashes_for_the_request() {
    let line = Entry::new(SystemTime::UNIX_EPOCH).text();
    assert_eq!(
        line,
        "[1970-01-01T00:00:00.000Z] \"- - -\" 0 - - - \"-\" 0 0 0 - \"-\" \"-\" \"-\" \"-\" \"-\" - - - - - -\n"
    );
}

#[test]
fn text_hostile_header_stays_on_its_line() {
    let mut entry = entry();
    entry.headers.user_agent = "a\"\n[b".into();
    assert!(entry.text().contains("\"a\\\"\\x0a[b\""));
    assert_eq!(entry.text().lines().count(), 1);
}

#[test]
fn civil_leap_days_and_centuries_are_right() {
    assert_eq!(civil(0), (1970, 1, 1));
    assert_eq!(civil(11_016), (2000, 2, 29));
    assert_eq!(civil(20_513), (2026, 3, 1));
    assert_eq!(civil(47_541), (2100, 3, 1));
}
