use super::{Key, KeyBuf, NAMES, Name, NameSet, SLOTS, TABLE, TEXTS, mix, slot, words};

#[test]
fn names_of_their_texts_are_themselves() {
    for (name, text) in NAMES.iter().zip(TEXTS) {
        assert_eq!(Name::of(text.as_bytes()), *name);
        assert_eq!(Name::of(text.to_uppercase().as_bytes()), *name);
        assert_eq!(name.text(), *text);
        assert_eq!(Key::from(*name), Key::from(*text));
    }
}

#[test]
fn names_unknown_or_nearly_known_are_other() {
    for text in [
        "",
        "x",
        "hos",
        "hosts",
        "content_length",
        "content-lengt",
        "\rost",
        "x-lane",
        "content\rlength~",
        "user\x0dagent!",
    ] {
        assert_eq!(Name::of(text.as_bytes()), Name::Other, "{text:?}");
    }
    assert_eq!(Name::Other.text(), "");
    assert_eq!(KeyBuf::new("X-Lane").key(), Key::from("x-lane"));
}

#[test]
fn table_clashes_stay_rare() {
    let moved = NAMES
        .iter()
        .zip(TEXTS)
        .filter(|(name, text)| {
            let at = slot(mix(text.len(), words(text.as_bytes())));
            TABLE[at].name != **name
        })
        .count();
    assert!(
        moved * 5 < NAMES.len(),
        "{moved} of {} names clash",
        NAMES.len()
    );
    assert!(TEXTS.len() < SLOTS / 2);
}

#[test]
fn sets_have_what_they_were_made_of() {
    let some = NameSet::new(&[Name::Host, Name::XRequestId, Name::Other]);
    let envoys = NameSet::starting_with(b"x-envoy-");
    for (name, text) in NAMES.iter().zip(TEXTS) {
        let wanted = matches!(name, Name::Host | Name::XRequestId);
        assert_eq!(some.contains(*name), wanted, "{text}");
        assert_eq!(
            envoys.contains(*name),
            text.starts_with("x-envoy-"),
            "{text}"
        );
    }
    assert!(some.contains(Name::Other) && !envoys.contains(Name::Other));
}
