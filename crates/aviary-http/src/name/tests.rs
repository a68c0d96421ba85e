use super::{EMPTY, Key, KeyBuf, NAMES, Name, SLOTS, TABLE, TEXTS, slot, words};

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
        .filter(|(name, text)| TABLE[slot(text.len(), words(text.as_bytes()))] != **name as u8)
        .count();
    assert!(
        moved * 5 < NAMES.len(),
        "{moved} of {} names clash",
        NAMES.len()
    );
    assert!(TABLE.contains(&EMPTY) && TEXTS.len() < SLOTS / 2);
}
