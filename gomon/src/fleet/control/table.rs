//! Answers as text.

use serde_json::Value;

use crate::fleet::request::ControlRequest;
use crate::sink::one_line;

/// Returns the answer to a request as text.
pub(super) fn table(request: &ControlRequest, answer: &Value) -> String {
    match request {
        ControlRequest::List => rows(answer, &LIST),
        ControlRequest::Status => rows(answer, &STATUS),
        ControlRequest::Add { .. } => match answer["attach"].as_str() {
            Some(attach) => format!("attached by {}\n", one_line(attach)),
            None => "waiting for the interface\n".into(),
        },
        ControlRequest::Remove { .. } => match answer["lost"].as_str() {
            Some(lost) => format!("removed: {}\n", one_line(lost)),
            None => "removed\n".into(),
        },
        ControlRequest::Reload => "re-read\n".into(),
    }
}

/// A column: its heading, whether it has numbers, and the JSON pointer of its values (RFC 6901).
type Column = (&'static str, bool, &'static str);

const LIST: [Column; 6] = [
    ("INTERFACE", false, "/interface"),
    ("SRC", false, "/src"),
    ("SAMPLE", false, "/sample_id"),
    ("STATE", false, "/state"),
    ("ADDED", false, "/added"),
    ("ERROR", false, "/error"),
];

const STATUS: [Column; 14] = [
    ("INTERFACE", false, "/interface"),
    ("SRC", false, "/src"),
    ("STATE", false, "/state"),
    ("ATTACH", false, "/attach"),
    ("WINDOWS", true, "/windows"),
    ("FRAMES", true, "/ledger/seen"),
    ("COUNTED", true, "/ledger/counted"),
    ("LOST", true, "/ledger/lost"),
    ("ATTACKS", true, "/verdicts/attack"),
    ("SCANS", true, "/verdicts/scan"),
    ("SWEEPS", true, "/verdicts/sweep"),
    ("RECORDS", true, "/records_written"),
    ("DROPPED", true, "/records_dropped"),
    ("LATEST", false, "/latest/classes"),
];

fn rows(answer: &Value, columns: &[Column]) -> String {
    let heading: Vec<String> = columns.iter().map(|(heading, ..)| (*heading).to_owned()).collect();
    let mut rows = vec![heading];
    for bot in answer["bots"].as_array().into_iter().flatten() {
        let cell = |(_, _, pointer): &Column| match bot.pointer(pointer) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => one_line(text),
            Some(Value::Bool(is_set)) => if *is_set { "yes" } else { "no" }.to_owned(),
            Some(value) => value.to_string(),
        };
        rows.push(columns.iter().map(cell).collect());
    }
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).zip(columns).map(|((cell, width), column)| {
            if column.1 { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}
