//! Iteration over hash maps that Clippy's `disallowed-methods` can't find, because it calls trait methods:
//! `for x in &map`, `map.into_iter()`, and maps passed as an argument that is iterated, as in `extend(map)`.

use std::collections::BTreeSet;

use super::items::File;
use super::tokens::{Token, tokens};

const MAPS: [&str; 2] = ["HashMap", "HashSet"];
/// Methods that iterate over their argument.
const CONSUMERS: [&str; 4] = ["chain", "extend", "from_iter", "zip"];

/// Returns the implicit iterations in a source file, each as the name of the map. A map that a pattern binds to a
/// variable is not followed.
pub(crate) fn implicit_iterations(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let maps = hash_maps(&File::parse(text), &tokens);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_field = at > 0 && tokens[at - 1].is('.');
        let Some(name) = token.word().filter(|name| maps.contains(&(*name, is_field))) else {
            continue;
        };
        // The start of the expression that ends with the map, as in `&mut self.map`.
        let is_prefix = |token: &&Token| {
            token.is('&') || token.is('.') || matches!(token.word(), Some("mut" | "self"))
        };
        let prefix = tokens[..at].iter().rev().take_while(is_prefix).count();
        let before = |distance: usize| at.checked_sub(prefix + distance).map(|at| &tokens[at]);
        let after = |distance: usize| tokens.get(at + distance);
        let is = |token: Option<&Token>, c: char| token.is_some_and(|token| token.is(c));
        let is_word = |token: Option<&Token>, words: &[&str]| {
            token.and_then(Token::word).is_some_and(|word| words.contains(&word))
        };
        let is_loop = is_word(before(1), &["in"]) && is(after(1), '{');
        let is_consumed = is(after(1), ')') && is(before(1), '(') && is_word(before(2), &CONSUMERS);
        let is_into_iter = is(after(1), '.') && is_word(after(2), &["into_iter"]);
        if is_loop || is_consumed || is_into_iter {
            found.push(name.to_owned());
        }
    }
    found
}

/// Returns the names that are declared as hash maps, by `name: HashMap<…>`, also behind a reference or with a path,
/// or by `name = HashMap::…`. For each, whether it is a field and not a variable.
fn hash_maps<'a>(file: &File, tokens: &'a [Token]) -> BTreeSet<(&'a str, bool)> {
    let is_hash_crate = |name: &str| ["hashbrown", "std"].contains(&name);
    let mut names = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let Some(map) = token.word().filter(|word| MAPS.contains(word)) else { continue };
        let is_path = |token: &&Token| {
            **token == Token::PathSeparator
                || matches!(token.word(), Some("hashbrown" | "std" | "collections"))
        };
        let path = tokens[..at].iter().rev().take_while(is_path).count();
        let is_qualified = tokens[at - path..at].iter().filter_map(Token::word).any(is_hash_crate);
        let import = file.imports.get(map).map(|import| import.path[0].as_str());
        if !is_qualified && !import.is_some_and(is_hash_crate) {
            continue;
        }
        let is_reference = |token: &&Token| token.is('&') || token.word() == Some("mut");
        let mut before = tokens[..at - path].iter().rev().skip_while(is_reference);
        // `name: HashMap::new()` initializes a field, and declares nothing.
        let is_type = tokens.get(at + 1).is_some_and(|token| token.is('<'));
        if before.next().is_some_and(|token| token.is('=') || (token.is(':') && is_type)) {
            let name = before.next().and_then(Token::word);
            names.extend(name.map(|name| (name, is_in_struct(&tokens[..at]))));
        }
    }
    names
}

/// Whether the innermost open bracket in `tokens` is that of a struct's fields.
fn is_in_struct(tokens: &[Token]) -> bool {
    let mut closed = 0;
    let open = tokens.iter().rposition(|token| {
        closed += i32::from(token.is('}') || token.is(')'));
        closed -= i32::from(token.is('{') || token.is('('));
        closed < 0
    });
    let header = open.map_or(tokens, |open| &tokens[..open]).iter().rev();
    let is_boundary = |token: &&Token| token.is(';') || token.is('{') || token.is('}');
    header.take_while(|token| !is_boundary(token)).any(|token| token.word() == Some("struct"))
}

#[test]
fn implicit_iterations_are_found() {
    let text = "
        use hashbrown::HashMap;
        struct S { a: HashMap<u8, u8>, b: Vec<u8>, c: aya::HashMap<u8, u8>, e: HashMap<u8, u8> }
        fn f(&self, d: &mut std::collections::HashSet<u8>) {
            for x in &mut self.a {}
            for x in &self.b {}
            for x in &self.c {}
            for x in d {}
            for x in self.a.get(&1) {}
            let m = HashMap::new();
            b.extend(&m);
            S { f: HashMap::new() };
            f.into_iter();
            self.e.into_iter();
            for x in e {}
        }";
    assert_eq!(implicit_iterations(text), ["a", "d", "m", "e"]);
}
