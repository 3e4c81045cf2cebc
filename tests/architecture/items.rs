//! The items and imports of a source file, as far as the checks need them.

use std::collections::{BTreeMap, BTreeSet};

use super::tokens::{Token, tokens};

/// A path from the root of the crate, or an external one.
pub(crate) type ItemPath = Vec<String>;

/// The parts of a source file that define and use names.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// The modules that it declares in other files (`mod name;`).
    pub(crate) children: BTreeSet<String>,
    /// The names of all items that it defines at any depth, and of its inline modules.
    pub(crate) items: BTreeSet<String>,
    /// The types that it defines: structs, enums, traits and type aliases, without associated types.
    pub(crate) types: Vec<String>,
    /// Imports by local name.
    pub(crate) imports: BTreeMap<String, Import>,
    /// The modules of its glob imports.
    pub(crate) globs: Vec<ItemPath>,
    /// The paths of two or more segments outside of `use` declarations.
    pub(crate) paths: Vec<ItemPath>,
    /// All other words in its code.
    pub(crate) words: BTreeSet<String>,
}

/// A name that a `use` declaration brings into scope.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    /// As written, with the leading `crate`, `self` or `super`.
    pub(crate) path: ItemPath,
    /// Whether it is a re-export: `pub use`, with any visibility.
    pub(crate) is_public: bool,
}

const ITEMS: [&str; 8] =
    ["struct", "enum", "trait", "type", "fn", "const", "static", "macro_rules"];
const TYPES: [&str; 4] = ["struct", "enum", "trait", "type"];

impl File {
    /// Parses a source file, without its unit tests.
    pub(crate) fn parse(text: &str) -> Self {
        let tokens = tokens(text);
        let mut file = Self::default();
        // For each open brace, whether it is the body of an `impl` or a trait.
        let mut bodies = Vec::new();
        // The first keyword since the last boundary of items or statements.
        let mut first: Option<&str> = None;
        let mut is_public = false;
        let mut at = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            at += 1;
            match token {
                Token::Word(word) if word == "use" => {
                    at = file.parse_use(&tokens, at, &[], is_public);
                    (first, is_public) = (None, false);
                }
                Token::Word(word) => {
                    is_public |= word == "pub";
                    if ["impl", "trait", "fn", "mod"].contains(&word.as_str()) {
                        first = first.or(Some(word));
                    }
                    let next = tokens.get(at).and_then(Token::word);
                    if let Some(name) = next.filter(|_| ITEMS.contains(&word.as_str())) {
                        file.items.insert(name.to_owned());
                        let is_associated = bodies.last() == Some(&true);
                        if TYPES.contains(&word.as_str()) && !(word == "type" && is_associated) {
                            file.types.push(name.to_owned());
                        }
                    } else if let Some(name) = next.filter(|_| word == "mod") {
                        let names = if tokens.get(at + 1).is_some_and(|token| token.is(';')) {
                            &mut file.children
                        } else {
                            &mut file.items
                        };
                        names.insert(name.to_owned());
                    }
                    at = file.parse_path(&tokens, at - 1);
                }
                Token::Punctuation(c @ ('{' | '}' | ';')) => {
                    match c {
                        '{' => bodies.push(matches!(first, Some("impl" | "trait"))),
                        '}' => drop(bodies.pop()),
                        _ => {}
                    }
                    (first, is_public) = (None, false);
                }
                Token::PathSeparator | Token::Punctuation(_) => {}
            }
        }
        file
    }

    /// Parses the path that starts at `at`, and returns the position after it.
    fn parse_path(&mut self, tokens: &[Token], mut at: usize) -> usize {
        // A segment after a type or a generic argument list, or a method or field.
        let is_start =
            at == 0 || !(tokens[at - 1] == Token::PathSeparator || tokens[at - 1].is('.'));
        let mut path = Vec::new();
        while let Some(word) = tokens.get(at).and_then(Token::word) {
            path.push(word.to_owned());
            at += 1;
            if tokens.get(at) != Some(&Token::PathSeparator)
                || tokens.get(at + 1).and_then(Token::word).is_none()
            {
                break;
            }
            at += 1;
        }
        if is_start && path.len() > 1 {
            self.paths.push(path);
        } else {
            self.words.extend(path);
        }
        at
    }

    /// Parses the use tree that starts at `at` below `prefix`, and returns the position after it.
    fn parse_use(
        &mut self,
        tokens: &[Token],
        mut at: usize,
        prefix: &[String],
        is_public: bool,
    ) -> usize {
        let mut path = prefix.to_vec();
        let mut name = None;
        let mut is_leaf = true;
        while at < tokens.len() {
            match &tokens[at] {
                Token::Word(word) if word == "as" => {
                    at += 1;
                    name = tokens[at].word().map(str::to_owned);
                }
                Token::Word(word) => path.push(word.clone()),
                Token::Punctuation('*') => {
                    self.globs.push(path.clone());
                    is_leaf = false;
                }
                Token::Punctuation('{') => {
                    while !tokens[at].is('}') {
                        at = self.parse_use(tokens, at + 1, &path, is_public);
                    }
                    is_leaf = false;
                }
                Token::Punctuation(',' | '}' | ';') => break,
                Token::PathSeparator | Token::Punctuation(_) => {}
            }
            at += 1;
        }
        if is_leaf && path.len() > prefix.len() {
            if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
                path.pop();
            }
            if let Some(name) = name.or_else(|| path.last().cloned()) {
                self.imports.insert(name, Import { path, is_public });
            }
        }
        at
    }
}

#[test]
fn use_trees_and_items_are_parsed() {
    let file = File::parse(
        "pub(super) use self::a::{B, c::{self, D as E},};
         use std::fmt::Write as _;
         use super::*;
         mod child;
         mod inline { pub struct Inner; }
         impl Iterator for B { type Item = E; fn next(&mut self) { a::f::<E>(c::G { x: 1 }) } }
         fn f() -> impl Iterator { struct Local; type Alias = u8; }",
    );
    let import = |name: &str| file.imports[name].path.join("::");
    assert_eq!(["B", "c", "E"].map(import), ["self::a::B", "self::a::c", "self::a::c::D"]);
    assert!(file.imports["E"].is_public && !file.imports["_"].is_public);
    assert_eq!(file.globs, [["super"]]);
    assert!(file.children.contains("child") && file.items.contains("inline"));
    assert_eq!(file.types, ["Inner", "Local", "Alias"]);
    assert_eq!(file.paths, [["a", "f"], ["c", "G"]]);
}
