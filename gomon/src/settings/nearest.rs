//! The nearest of several names, for errors about an unknown one.

/// Returns `: did you mean "window"?` with the name that is nearest to `word`, or an empty text if none is near.
pub(crate) fn did_you_mean<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> String {
    let limit = (word.chars().count() / 3).max(1);
    let distances = names.into_iter().map(|name| (strsim::damerau_levenshtein(word, name), name));
    match distances.filter(|(distance, _)| *distance <= limit).min() {
        Some((_, name)) => format!(": did you mean {name:?}?"),
        None => String::new(),
    }
}

#[test]
fn the_nearest_name_is_suggested_if_it_is_near() {
    let nearest = |word| did_you_mean(word, ["window", "step", "sample_id"]);
    assert_eq!(nearest("windwo"), ": did you mean \"window\"?");
    assert_eq!(nearest("sampleid"), ": did you mean \"sample_id\"?");
    assert_eq!(nearest("banana"), "");
}
