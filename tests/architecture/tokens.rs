//! A lexer for Rust sources: identifiers and punctuation, without comments, literals and unit tests.

/// A token. Literals and lifetimes are dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// An identifier or a keyword.
    Word(String),
    /// `::`.
    PathSeparator,
    /// Any other punctuation character.
    Punctuation(char),
}

impl Token {
    /// The text of an identifier or a keyword.
    pub(crate) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::PathSeparator | Self::Punctuation(_) => None,
        }
    }

    /// Whether this is the punctuation character `c`.
    pub(crate) fn is(&self, c: char) -> bool {
        *self == Self::Punctuation(c)
    }
}

/// Returns `text` without its unit tests, which are at the end of a file.
pub(crate) fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

/// Returns the tokens of a source file outside of its unit tests.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = without_tests(text);
    while let Some(c) = rest.chars().next() {
        let length = if let Some(length) = ignored(rest) {
            length
        } else if rest.starts_with("::") {
            tokens.push(Token::PathSeparator);
            2
        } else if is_word(c) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if !c.is_ascii_digit() {
                tokens.push(Token::Word(rest[..length].to_owned()));
            }
            length
        } else {
            if !c.is_whitespace() {
                tokens.push(Token::Punctuation(c));
            }
            c.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a comment, a literal, a lifetime or a raw-identifier prefix at the start of `rest`.
fn ignored(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    // The optional prefix of a string: b, c, r, br, cr.
    let prefix = rest.find(|c| !matches!(c, 'b' | 'c' | 'r')).unwrap_or(rest.len());
    let literal = &rest[prefix..];
    if rest[..prefix].ends_with('r') {
        let hashes = literal.len() - literal.trim_start_matches('#').len();
        if literal[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let content = prefix + hashes + 1;
            return Some(
                rest[content..].find(&end).map_or(rest.len(), |at| content + at + end.len()),
            );
        }
        return (rest[..prefix] == *"r" && hashes == 1).then_some(prefix + 1);
    }
    if literal.starts_with('"') {
        return Some(prefix + quoted(literal, '"'));
    }
    if literal.starts_with('\'') {
        let mut characters = literal.chars().skip(1);
        let is_escape = characters.next() == Some('\\');
        let is_character = is_escape || characters.next() == Some('\'');
        let lifetime = || literal[1..].find(|c| !is_word(c)).map_or(literal.len(), |end| end + 1);
        return Some(prefix + if is_character { quoted(literal, '\'') } else { lifetime() });
    }
    None
}

/// The length of a literal in quotes, in which a backslash escapes the next character.
fn quoted(literal: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in literal.char_indices().skip(1) {
        if !is_escaped && c == quote {
            return at + 1;
        }
        is_escaped = !is_escaped && c == '\\';
    }
    literal.len()
}

#[test]
fn comments_literals_and_tests_are_dropped() {
    let text = r##"
        // a comment
        let x: &'a str = r#"a "raw" string"#; /* another */ f('"', '\'', b"\"", 'x', 1_u8);
        r#type::new()
        #[cfg(test)]
        mod tests {}
    "##;
    let words: Vec<_> = tokens(text).iter().filter_map(Token::word).map(str::to_owned).collect();
    assert_eq!(words, ["let", "x", "str", "f", "type", "new"]);
}
