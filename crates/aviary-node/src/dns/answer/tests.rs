use super::*;

fn check(name: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let mut table = Table::default();
    let add = |table: &mut Table, name: &str, addresses: &[&str]| {
        let addresses = addresses.iter().map(|a| a.parse().unwrap()).collect();
        table.addresses.insert(name.to_owned(), addresses);
    };
    add(
        &mut table,
        "reviews.default.svc.cluster.local",
        &["10.96.1.2"],
    );
    add(
        &mut table,
        "db.default.svc.cluster.local",
        &["10.244.0.3", "10.244.0.4"],
    );
    add(&mut table, "empty.default.svc.cluster.local", &[]);
    table.services.insert(
        "_http._tcp.reviews.default.svc.cluster.local".to_owned(),
        [(9080, "reviews.default.svc.cluster.local".to_owned())].into(),
    );
    table.aliases.insert(
        "other.default.svc.cluster.local".to_owned(),
        "reviews.default.svc.cluster.local".to_owned(),
    );
    let mut request = Message::query();
    request.add_query(Query::query(Name::from_str(name).unwrap(), kind));
    let bytes = answer(&table, &request.to_vec().unwrap(), Some(1232)).unwrap();
    let reply = Message::from_vec(&bytes).unwrap();
    assert_eq!(reply.metadata.id, request.metadata.id);
    let answers = reply
        .answers
        .iter()
        .map(|record| record.data.to_string())
        .collect();
    (reply.metadata.response_code, answers)
}

#[test]
fn answer_service_name_gives_its_address() {
    let expected = (ResponseCode::NoError, vec!["10.96.1.2".to_owned()]);
    assert_eq!(
        check("reviews.default.svc.cluster.local.", RecordType::A),
        expected
    );
    assert_eq!(
        check("REVIEWS.default.svc.cluster.local.", RecordType::A),
        expected
    );
}

#[test]
fn answer_headless_name_gives_all_pods() {
    let expected = vec!["10.244.0.3".to_owned(), "10.244.0.4".to_owned()];
    assert_eq!(
        check("db.default.svc.cluster.local.", RecordType::A).1,
        expected
    );
}

#[test]
fn answer_other_type_of_known_name_is_empty_without_error() {
    let empty = (ResponseCode::NoError, Vec::<String>::new());
    assert_eq!(
        check("reviews.default.svc.cluster.local.", RecordType::AAAA),
        empty
    );
    assert_eq!(
        check("empty.default.svc.cluster.local.", RecordType::A),
        empty
    );
}

#[test]
fn answer_unknown_name_does_not_exist() {
    let missing = (ResponseCode::NXDomain, Vec::<String>::new());
    assert_eq!(
        check("nobody.default.svc.cluster.local.", RecordType::A),
        missing
    );
    assert_eq!(check("example.com.", RecordType::A), missing);
}

#[test]
fn answer_port_name_gives_port_and_target() {
    let (code, answers) = check(
        "_http._tcp.reviews.default.svc.cluster.local.",
        RecordType::SRV,
    );
    assert_eq!(code, ResponseCode::NoError);
    assert_eq!(answers, ["0 100 9080 reviews.default.svc.cluster.local."]);
}

#[test]
fn answer_external_name_follows_the_alias() {
    let (_, answers) = check("other.default.svc.cluster.local.", RecordType::A);
    assert_eq!(answers, ["reviews.default.svc.cluster.local.", "10.96.1.2"]);
}

#[test]
fn answer_garbage_stays_silent() {
    assert_eq!(answer(&Table::default(), b"\x00\x01", None), None);
}
