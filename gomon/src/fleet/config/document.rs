//! The configuration file as sections of entries, each with its line.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::settings::{GivenSetting, GivenValue, SettingOrigin, did_you_mean};

/// The keys outside of sections, and the sections.
const ROOT: [&str; 5] = ["bot", "control", "defaults", "metrics", "stagger"];

/// The entries of a section, in the order of the file.
pub(super) type Section = Vec<GivenSetting>;

/// A configuration file whose syntax is correct, and whose sections are known.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// Keys outside of sections.
    pub(super) root: Section,
    pub(super) defaults: Section,
    /// `None` without this section, as for the next one.
    pub(super) metrics: Option<Section>,
    pub(super) control: Option<Section>,
    /// The bots, each with the line of its section.
    pub(super) bots: Vec<(usize, Section)>,
}

/// The text of a file, and its path for errors.
struct Source<'a> {
    path: Arc<Path>,
    text: &'a str,
}

impl Document {
    pub(super) fn parse(path: Arc<Path>, text: &str) -> Result<Self> {
        let source = Source { path, text };
        let table = match DeTable::parse(text) {
            Ok(table) => table.into_inner(),
            Err(error) => {
                let at = source.line(error.span().map_or(0, |span| span.start));
                let why = error.message().lines().collect::<Vec<_>>().join(", ");
                bail!("reading {}:{at}: {why}: write it as TOML", source.path.display());
            }
        };
        let mut document = Self::default();
        for (key, line, value) in source.entries(&table) {
            match (key, value.get_ref()) {
                ("defaults", DeValue::Table(table)) => document.defaults = source.section(table)?,
                ("metrics", DeValue::Table(table)) => {
                    document.metrics = Some(source.section(table)?);
                }
                ("control", DeValue::Table(table)) => {
                    document.control = Some(source.section(table)?);
                }
                ("bot", DeValue::Array(bots)) => {
                    for bot in bots {
                        let DeValue::Table(table) = bot.get_ref() else {
                            bail!("{}: not a table: write [[bot]]", source.reading(line, key));
                        };
                        let line = source.line(bot.span().start);
                        document.bots.push((line, source.section(table)?));
                    }
                }
                ("stagger", _) => document.root.push(source.setting(key, line, value)?),
                ("bot", _) => {
                    bail!("{}: not a list: write [[bot]]", source.reading(line, key))
                }
                (key, _) if ROOT.contains(&key) => {
                    bail!("{}: not a section: write [{key}]", source.reading(line, key))
                }
                _ => {
                    let similar = did_you_mean(key, ROOT);
                    bail!(
                        "{}: unknown{similar}: the sections are [defaults], [metrics], [control] and \
                         [[bot]], and stagger stands before them",
                        source.reading(line, key)
                    );
                }
            }
        }
        Ok(document)
    }
}

impl Source<'_> {
    /// Returns the line of an offset, counted from 1.
    fn line(&self, offset: usize) -> usize {
        self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
    }

    fn origin(&self, line: usize, key: &str) -> SettingOrigin {
        SettingOrigin::File { path: Arc::clone(&self.path), line, key: key.to_owned() }
    }

    fn reading(&self, line: usize, key: &str) -> String {
        format!("reading {}", self.origin(line, key))
    }

    /// Returns the entries of a table in the order of the file.
    fn entries<'t>(
        &self,
        table: &'t DeTable<'_>,
    ) -> Vec<(&'t str, usize, &'t Spanned<DeValue<'t>>)> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries.into_iter();
        entries.map(|(key, value)| (&**key.get_ref(), self.line(key.span().start), value)).collect()
    }

    fn section(&self, table: &DeTable<'_>) -> Result<Section> {
        let entries = self.entries(table).into_iter();
        entries.map(|(key, line, value)| self.setting(key, line, value)).collect()
    }

    fn setting(
        &self,
        key: &str,
        line: usize,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<GivenSetting> {
        let value = match value.get_ref() {
            DeValue::Boolean(is_on) => GivenValue::Switch(*is_on),
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| scalar(item.get_ref()));
                let Some(texts) = texts.collect() else {
                    bail!("{}: not a list of texts: give some", self.reading(line, key));
                };
                GivenValue::List(texts)
            }
            value @ (DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_)) => match scalar(value) {
                Some(text) => GivenValue::Text(text),
                None => bail!(
                    "{}: a {}: give a text, a number, true or false",
                    self.reading(line, key),
                    value.type_str()
                ),
            },
        };
        Ok(GivenSetting { key: key.to_owned(), value, origin: self.origin(line, key) })
    }
}

/// Returns a text or a number as text.
fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Document> {
        Document::parse(Path::new("x.toml").into(), text)
    }

    #[test]
    fn entries_have_their_lines() {
        let document = parse(
            "stagger = true\n[defaults]\nwindow = 10\n# x\nstats = false\n\n[[bot]]\nsrc='any'",
        )
        .unwrap();
        let origins: Vec<_> =
            document.defaults.iter().map(|entry| entry.origin.to_string()).collect();
        assert_eq!(origins, ["x.toml:3: window", "x.toml:5: stats"]);
        assert_eq!(document.bots.len(), 1);
        assert_eq!(document.bots[0].0, 7);
        assert!(document.metrics.is_none() && document.root.len() == 1);
    }

    #[test]
    fn errors_name_file_line_and_key() {
        for (text, expected) in [
            ("x", "reading x.toml:1: "),
            ("\n[defaults\n", "reading x.toml:2: "),
            ("a = 1\na = 2", "reading x.toml:2: duplicate key"),
            ("[default]", "reading x.toml:1: default: unknown: did you mean \"defaults\"?"),
            ("[bot]", "reading x.toml:1: bot: not a list: write [[bot]]"),
            ("bot = [1]", "reading x.toml:1: bot: not a table"),
            ("metrics = 1", "reading x.toml:1: metrics: not a section: write [metrics]"),
            ("[defaults]\nwindow = 2020-01-01", "reading x.toml:2: window: a datetime: give"),
            ("[defaults]\nc2_ip = [[]]", "reading x.toml:2: c2_ip: not a list of texts"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.starts_with(expected) && !error.contains('\n'), "{error}");
        }
    }
}
