use super::Fields;
use crate::{Framing, Name, NameSet, RequestHead, parse};

const INPUT: &str = "GET / HTTP/1.1\r\nHost: a\r\nUser-Agent:  curl \r\nX-A:1\r\nx-b: 2\t\r\n\
    X-a: 3\r\nLast:\r\n\r\n";

fn head() -> RequestHead {
    let mut head = RequestHead::new();
    parse::request(INPUT.as_bytes(), &parse::Limits::default(), &mut head).unwrap();
    head
}

fn written(fields: &Fields) -> String {
    let mut out = Vec::new();
    fields.write_runs(&mut out);
    assert_eq!(out.len(), fields.wire_len());
    String::from_utf8(out).unwrap()
}

#[test]
fn fields_untouched_go_out_as_they_came() {
    let head = head();
    assert_eq!(
        written(&head.fields),
        "User-Agent:  curl \r\nX-A:1\r\nx-b: 2\t\r\nX-a: 3\r\nLast:\r\n"
    );
    let mut out = Vec::new();
    head.write_http1(&mut out, Framing::None, false);
    let lines = INPUT.strip_prefix("GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    assert_eq!(
        out,
        format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}").as_bytes()
    );
}

#[test]
fn fields_edited_leave_the_others_as_they_came() {
    let mut fields = head().fields;
    assert!(fields.remove("x-a") && !fields.remove("x-a"));
    fields.set(Name::UserAgent, b"other");
    fields.append("x-new", b"n");
    fields.set("absent", b"");
    assert_eq!(
        written(&fields),
        "x-b: 2\t\r\nLast:\r\nuser-agent: other\r\nx-new: n\r\nabsent: \r\n"
    );
    fields.remove_where(|name, text| name == Name::UserAgent || text == b"Last");
    assert_eq!(written(&fields), "x-b: 2\t\r\nx-new: n\r\nabsent: \r\n");
    fields.clear();
    assert_eq!((written(&fields).len(), fields.is_empty()), (0, true));
}

#[test]
fn fields_are_found_in_any_case_by_name_and_by_text() {
    let fields = head().fields;
    assert_eq!(fields.get("user-agent"), Some(&b"curl"[..]));
    assert_eq!(fields.get(Name::UserAgent), Some(&b"curl"[..]));
    assert_eq!(fields.get_all("x-a").collect::<Vec<_>>(), [b"1", b"3"]);
    assert_eq!(fields.joined("x-a").as_deref(), Some("1,3"));
    assert_eq!(fields.text("last"), Some(""));
    assert!(!fields.contains("x") && !fields.contains(Name::Other));
    assert_eq!(fields.len(), 5);
    let named: Vec<Name> = fields.named().map(|(name, _, _)| name).collect();
    assert_eq!(named[..2], [Name::UserAgent, Name::Other]);
}

#[test]
fn value_that_is_no_text_is_none_when_joined() {
    let mut fields = Fields::new();
    fields.append("x", b"\xff");
    fields.append("cookie", b"a");
    fields.append("cookie", b"\xffb");
    assert_eq!((fields.joined("x"), fields.text("x")), (None, None));
    assert_eq!(fields.joined(Name::Cookie), None);
    assert_eq!(fields.get("x"), Some(&b"\xff"[..]));
}

#[test]
fn value_appended_makes_no_line_of_its_own() {
    let mut fields = Fields::new();
    fields.append("x", b"a\r\nevil: 1\r\n\r\n\0b\x7f\tc");
    fields.append("bad name", b"1");
    fields.append("bad\r\nname", b"1");
    fields.append("", b"1");
    assert_eq!(written(&fields), "x: a  evil: 1     b \tc\r\n");
}

#[test]
fn head_setters_refuse_what_cannot_stand_there() {
    let mut head = head();
    for bad in ["/a b", "/a\r\n", "/#", "/\u{e9}"] {
        head.set_path(bad);
    }
    head.set_method("B D");
    head.set_authority("a/b");
    head.set_authority("");
    assert_eq!(
        (head.method(), head.authority(), head.path()),
        ("GET", "a", "/")
    );
    head.set_path("/new?q");
    head.set_method("PATCH");
    head.set_authority("b:1");
    let mut out = Vec::new();
    head.write_http1(&mut out, Framing::Length(12), false);
    assert!(out.starts_with(b"PATCH /new?q HTTP/1.1\r\nhost: b:1\r\nUser-Agent"));
    assert!(out.ends_with(b"Last:\r\ncontent-length: 12\r\n\r\n"));
}

#[test]
fn field_of_a_set_is_noticed() {
    let mut fields = Fields::new();
    let set = NameSet::new(&[Name::Via, Name::XRequestId]);
    assert!(!fields.may_have_any(&set));
    fields.append(Name::Accept, b"*/*");
    fields.append("x-lane", b"7");
    assert!(!fields.may_have_any(&set));
    assert!(fields.may_have_any(&NameSet::new(&[Name::Other])));
    fields.append(Name::Via, b"a");
    assert!(fields.may_have_any(&set));
    fields.remove(Name::Via);
    assert!(!fields.may_have_any(&set));
}

#[test]
fn names_that_share_a_bit_are_told_apart() {
    let names: Vec<String> = (0..500).map(|number| format!("x-lane-{number}")).collect();
    let mut fields = Fields::new();
    for name in &names[..250] {
        fields.append(name.as_str(), name.as_bytes());
    }
    for (number, name) in names.iter().enumerate() {
        let wanted = (number < 250).then_some(name.as_bytes());
        assert_eq!(fields.get(name.as_str()), wanted);
        assert_eq!(fields.get(name.to_uppercase().as_str()), wanted);
        assert_eq!(fields.remove(name.as_str()), number < 250);
    }
    assert!(fields.is_empty());
}

#[test]
fn control_bytes_anywhere_become_spaces() {
    for length in 0..40 {
        for at in 0..length {
            for byte in [0, b'\t', b'\n', 0x1f, b' ', 0x7f, 0x80, 0xff] {
                let mut value = vec![b'v'; length];
                value[at] = byte;
                let mut fields = Fields::new();
                fields.append(Name::Via, &value);
                if matches!(byte, 0 | b'\n' | 0x1f | 0x7f) {
                    value[at] = b' ';
                }
                assert_eq!(fields.get(Name::Via), Some(&value[..]), "{byte} at {at}");
            }
        }
    }
}

#[test]
fn number_takes_the_place_of_what_was_there() {
    let mut fields = Fields::new();
    fields.append("X-N", b"a");
    for number in [0, 7, 10, u64::MAX] {
        fields.set_number("x-n", number);
        assert_eq!(fields.text("x-n"), Some(number.to_string().as_str()));
    }
    fields.set_number("no token", 1);
    assert_eq!(fields.len(), 1);
    assert_eq!(fields.unnumbered().collect::<Vec<_>>(), [b"x-n"]);
}
