use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn route(timeout: u64) -> Forward {
    Forward {
        timeout: Some(secs(timeout)),
        ..Forward::default()
    }
}

#[test]
fn times_asked_by_the_request_come_before_the_route() {
    let asked = Asked {
        whole: Some("2000"),
        per_try: Some("500"),
        grpc: None,
    };
    let times = Times::of(&route(15), None, None, &asked);
    assert_eq!(times.whole, Some(secs(2)));
    assert_eq!(times.per_try, Some(Duration::from_millis(500)));
    let never = Asked {
        whole: Some("0"),
        per_try: Some("nonsense"),
        ..asked
    };
    let times = Times::of(&route(15), None, None, &never);
    assert_eq!((times.whole, times.per_try), (None, None));
}

#[test]
fn times_per_try_over_the_whole_is_left_out() {
    let retry = Retry {
        per_try_timeout: Some(secs(20)),
        ..Retry::default()
    };
    let times = Times::of(&route(15), Some(&retry), None, &Asked::default());
    assert_eq!((times.whole, times.per_try), (Some(secs(15)), None));
}

#[test]
fn times_with_a_longest_stream_leave_the_timeout_out() {
    let mut forward = route(15);
    forward.max_stream_duration = Some(secs(9));
    let times = Times::of(&forward, None, Some(secs(30)), &Asked::default());
    assert_eq!((times.whole, times.stream), (None, Some(secs(9))));
    forward.max_stream_duration = Some(secs(0));
    let times = Times::of(&forward, None, Some(secs(30)), &Asked::default());
    assert_eq!(times.stream, None);
}

#[test]
fn times_of_grpc_are_what_it_asks_up_to_a_bound() {
    let mut forward = route(15);
    forward.grpc_timeout_max = Some(secs(5));
    let ask = |text| Asked {
        grpc: Some(text),
        ..Asked::default()
    };
    for (text, stream) in [
        ("2S", Some(secs(2))),
        ("20S", Some(secs(5))),
        ("0m", Some(secs(0))),
    ] {
        let times = Times::of(&forward, None, None, &ask(text));
        assert_eq!((times.whole, times.stream), (None, stream), "{text}");
        assert!(times.tells_grpc);
    }
    let times = Times::of(&forward, None, Some(secs(7)), &ask("soon"));
    assert_eq!((times.stream, times.tells_grpc), (Some(secs(7)), false));
    forward.grpc_timeout_max = Some(secs(0));
    let times = Times::of(&forward, None, None, &ask("20S"));
    assert_eq!(times.stream, Some(secs(20)));
}

#[test]
fn expected_is_what_is_left_for_a_try() {
    let times = Times {
        whole: Some(secs(3)),
        per_try: Some(secs(2)),
        ..Times::default()
    };
    assert_eq!(times.expected(secs(0)), Some(secs(2)));
    assert_eq!(times.expected(secs(2)), Some(secs(1)));
    assert_eq!(times.expected(secs(9)), Some(Duration::from_millis(1)));
    assert_eq!(Times::default().expected(secs(9)), None);
}

#[test]
fn grpc_timeout_is_digits_and_a_unit() {
    for (text, time) in [
        ("1H", Some(secs(3600))),
        ("2M", Some(secs(120))),
        ("99999999S", Some(secs(99_999_999))),
        ("5m", Some(Duration::from_millis(5))),
        ("5u", Some(Duration::from_micros(5))),
        ("5n", Some(Duration::from_nanos(5))),
        ("123456789S", None),
        ("S", None),
        ("", None),
        ("-1S", None),
        ("1s", None),
        ("1é", None),
    ] {
        assert_eq!(grpc_timeout(text), time, "{text}");
    }
}

#[test]
fn grpc_text_is_read_as_the_same_time() {
    for seconds in [0, 1, 99_999, 100_000, 99_999_999, 200_000_000] {
        let text = grpc_text(secs(seconds));
        let read = grpc_timeout(&text).unwrap();
        assert!(read >= secs(seconds) && read < secs(seconds + 60), "{text}");
    }
}
