//! What goes to standard output and standard error.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use super::exit_code;
use super::failure::{Failure, Outcome};

/// Writes to standard output. A reader that went away has seen enough: the command ends with success.
///
/// # Errors
/// The end of the command.
pub fn print(text: &str) -> Outcome {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::quiet(exit_code::OK),
        _ => Failure::new(exit_code::FAILED, format!("cannot write to standard output: {error}")),
    })
}

/// One JSON object and a line feed.
///
/// # Errors
/// The end of the command.
pub fn print_json(value: &impl Serialize) -> Outcome {
    let text = serde_json::to_string(value).map_err(|error| {
        Failure::new(exit_code::FAILED, format!("cannot write the answer as JSON: {error}"))
    })?;
    print(&(text + "\n"))
}

/// A line on stderr. If nobody reads it, nobody misses it.
pub fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Names and values, a line each.
pub fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    pairs.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// A table with the numbers of all but its first column on the right.
pub fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
    table.set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for index in 0..head.len() {
        if let Some(column) = table.column_mut(index) {
            column.set_padding((0, 2));
            if index > 0 {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
    table.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Text that came from outside, so that it cannot steer a terminal.
pub fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for letter in text.chars() {
        // Directions and other invisible signs can make a line read otherwise than it is.
        if letter.is_control()
            || matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            clean.extend(letter.escape_default());
        } else {
            clean.push(letter);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\nc\u{202e}ä"), "a\\u{1b}[31mb\\nc\\u{202e}ä");
    }
}
